// Package v1 renders what happens in rooms for members of gotapi.v1, the first protocol
// (docs/protocol.md).
package v1

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Dialect is gotapi.v1. A connection has one member, which may use all of its queue and
// must not miss anything: whatever it cannot get ends the connection.
var Dialect room.Dialect = dialect{}

type dialect struct{}

const (
	codeGone = 410
	gapText  = "messages were lost or trimmed: read the history again"
)

var (
	gapFrame = ws.Seal(ws.OpText, packet.AppendError(ws.Reserve(0), "", codeGone, gapText))
	errLost  = &ws.CloseError{Code: packet.CloseServiceRestart, Reason: "messages were lost"}
)

// Traits implements room.Dialect.
func (dialect) Traits() room.Traits { return room.Traits{} }

// Event implements room.Dialect.
func (dialect) Event(e *room.Event) ws.Frame {
	switch e.Kind {
	case stream.Message, stream.Text:
		return ws.Text(e.Payload)
	case stream.Binary:
		return ws.Binary(e.Payload)
	case stream.Recall:
		return ws.Seal(ws.OpText, packet.AppendRecall(ws.Reserve(48+len(e.UUID)), e.UUID))
	default:
		return ws.Frame{}
	}
}

// Own implements room.Dialect: the ack is in the message's place, also after a
// refusal with 504.
func (dialect) Own(e *room.Event, p *room.Publish) (f ws.Frame, ok bool) {
	if p != nil {
		return ack(p.UUID), true
	}
	return ack(uuidOf(e)), true
}

// uuidOf returns the uuid of a message or a tombstone.
func uuidOf(e *room.Event) string {
	if e.Kind == stream.Message {
		return packet.Classify(e.Payload).UUID
	}
	return e.UUID
}

// Answer implements room.Dialect. Only data packets have an ack, also where the group
// stores nothing.
func (dialect) Answer(p *room.Publish, _ *room.Receipt) ws.Frame {
	if p.Kind != stream.Message {
		return ws.Frame{}
	}
	return ack(p.UUID)
}

func ack(uuid string) ws.Frame {
	return ws.Seal(ws.OpText, packet.AppendAck(ws.Reserve(48+len(uuid)), uuid))
}

// Refusal implements room.Dialect. A packet that is not stored is refused without a frame,
// unless it is not allowed.
func (dialect) Refusal(p *room.Publish, r *relay.Result) ws.Frame {
	if p.Kind != stream.Message && r.Outcome != relay.Denied {
		return ws.Frame{}
	}
	buf := ws.Reserve(128 + len(p.UUID) + len(r.Reason))
	if r.Again > 0 {
		return ws.Seal(ws.OpText, packet.AppendTooMuch(buf, p.UUID, r.Reason, r.Again.Milliseconds()+1))
	}
	return ws.Seal(ws.OpText, packet.AppendError(buf, p.UUID, r.Outcome.Code(), r.Reason))
}

// Joined implements room.Dialect: a join has no answer, unless messages are missing.
func (dialect) Joined(j *room.Joined) ws.Frame {
	if j.Gap {
		return gapFrame
	}
	return ws.Frame{}
}

// Live implements room.Dialect.
func (dialect) Live(group.Name, stream.Position) ws.Frame { return ws.Frame{} }

// Lost implements room.Dialect: the client has to read the history again.
func (dialect) Lost(group.Name, stream.Position) (f ws.Frame, end *ws.CloseError) {
	return gapFrame, errLost
}

// Left implements room.Dialect.
func (dialect) Left(_ group.Name, why *room.Refusal) (f ws.Frame, end *ws.CloseError) {
	return ws.Frame{}, &ws.CloseError{Code: packet.CloseTryAgainLater, Reason: why.Reason}
}
