package room_test

import (
	"fmt"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// plain is a dialect as gotapi.v2 will be one: many groups on a connection, answers by
// number, positions, gaps without an end. Each frame is a line of words, the first of
// them the group.
type plain struct{}

func (plain) Traits() room.Traits { return room.Traits{EveryChange: true, Shares: true} }

func line(format string, args ...any) ws.Frame { return ws.Text(fmt.Appendf(nil, format, args...)) }

func at(p stream.Position) string { return fmt.Sprintf("%d.%d", p.Seq, p.Changes) }

func uuidOf(e *room.Event) string {
	if e.Kind == stream.Message {
		return packet.Classify(e.Payload).UUID
	}
	return e.UUID
}

func (plain) Event(e *room.Event) ws.Frame {
	switch e.Kind {
	case stream.Message:
		return line("%s message %s %s", e.Group, uuidOf(e), at(e.Pos))
	case stream.Recall:
		return line("%s recalled %s %s", e.Group, e.UUID, at(e.Pos))
	case stream.Text, stream.Binary:
		return line("%s packet %s", e.Group, e.Payload)
	default:
		return ws.Frame{}
	}
}

func (plain) Own(e *room.Event, p *room.Publish) (f ws.Frame, ok bool) {
	if p == nil || p.Request == 0 {
		return ws.Frame{}, false
	}
	return line("%s ok %d %s", e.Group, p.Request, at(e.Pos)), true
}

func (plain) Answer(p *room.Publish, r *room.Receipt) ws.Frame {
	if p.Request == 0 {
		return ws.Frame{}
	}
	return line("re %d %d", p.Request, r.Seq)
}

func (plain) Refusal(p *room.Publish, r *relay.Result) ws.Frame {
	if p.Request == 0 {
		return ws.Frame{}
	}
	return line("refused %d %d", p.Request, r.Outcome.Code())
}

func (plain) Joined(j *room.Joined) ws.Frame {
	if j.Gap {
		return line("%s joined %s gap", j.Group, at(j.Pos))
	}
	return line("%s joined %s", j.Group, at(j.Pos))
}

func (plain) Live(g group.Name, pos stream.Position) ws.Frame { return line("%s live %s", g, at(pos)) }

func (plain) Lost(g group.Name, pos stream.Position) (f ws.Frame, end *ws.CloseError) {
	return line("%s gap %s", g, at(pos)), nil
}

func (plain) Left(g group.Name, why *room.Refusal) (f ws.Frame, end *ws.CloseError) {
	return line("%s left %d", g, why.Code), nil
}
