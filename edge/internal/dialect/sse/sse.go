// Package sse renders what happens in rooms as server-sent events (docs/protocol.md): the
// headers of gotapi.v2, with the packet inside.
package sse

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

var (
	// One is for streams of one group. Each event with a position has it as its id, and
	// the stream ends with the membership.
	One room.Dialect = dialect{one: true}
	// Many is for streams of many groups. Events have no id: a position is of one group.
	Many room.Dialect = dialect{}
)

type dialect struct{ one bool }

// The fields of an event.
const (
	fieldEvent = "event: "
	fieldID    = "\nid: "
	fieldData  = "\ndata: "
	// EndOfEvent ends each event, comment and retry.
	EndOfEvent = "\n\n"
)

// Comment keeps a stream from being silent.
var Comment = ws.Raw([]byte(":\n\n"))

// Answer returns the answer to a join that is refused; v2.Request makes request.
func Answer(request uint64, why header.Refusal) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	return event("answer", nil, header.AppendRefusal(nil, request-1, why), false)
}

// Error returns what a line gets that cannot be read. The stream goes on.
func Error(code int, msg string) ws.Frame {
	return event("error", nil, header.AppendError(nil, code, msg), false)
}

// End returns the end of a stream: the time after which the client comes back, and why.
func End(code int, msg string, again time.Duration) []byte {
	return appendEvent(Retry(again), "error", nil, header.AppendError(nil, code, msg), false)
}

// Retry returns the time after which a client comes back whose stream has ended: random,
// from 1 to 5 s, so that not all of them come at once. It is at least least.
func Retry(least time.Duration) []byte {
	again := max(least, time.Second+rand.N(4*time.Second))
	b := strconv.AppendInt([]byte("retry: "), again.Milliseconds(), 10)
	return append(b, EndOfEvent...)
}

// event returns a message of gotapi.v2 as an event.
func event(on string, id []byte, message []byte, binary bool) ws.Frame {
	return ws.Raw(appendEvent(make([]byte, 0, 64+len(id)+len(message)+len(message)/4), on, id, message, binary))
}

// appendEvent appends a message of gotapi.v2 as an event. Its packet, if it carries one,
// becomes a key of its header.
func appendEvent(dst []byte, on string, id, message []byte, binary bool) []byte {
	dst = append(append(dst, fieldEvent...), on...)
	if id != nil {
		dst = append(append(dst, fieldID...), id...)
	}
	dst = append(dst, fieldData...)
	head, body, carries := header.Split(message)
	switch {
	case !carries:
		dst = append(dst, head...)
	case binary:
		dst = append(append(dst, head[:len(head)-1]...), `,"packetBase64":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, body), `"}`...)
	default:
		dst = append(append(dst, head[:len(head)-1]...), `,"packet":`...)
		dst = append(packet.AppendString(dst, string(body)), '}')
	}
	return append(dst, EndOfEvent...)
}

// Event is an event of this package.
type Event struct {
	On       string
	ID, Data []byte
}

// Parse reads an event of this package, without its EndOfEvent. A comment or a retry has no
// On.
func Parse(text []byte) (e Event) {
	head, data, ok := bytes.Cut(text, []byte(fieldData))
	on, isEvent := bytes.CutPrefix(head, []byte(fieldEvent))
	if !ok || !isEvent {
		return Event{}
	}
	on, id, _ := bytes.Cut(on, []byte(fieldID))
	return Event{On: string(on), ID: id, Data: data}
}

// id returns the id of an event at a position.
func (d dialect) id(g group.Name, at stream.Position) []byte {
	if !d.one {
		return nil
	}
	return at.AppendText(nil, g)
}

// Traits implements room.Dialect.
func (dialect) Traits() room.Traits { return room.Traits{EveryChange: true, Shares: true} }

// Event implements room.Dialect.
func (d dialect) Event(e *room.Event) ws.Frame {
	switch e.Kind {
	case stream.Message:
		return event("message", d.id(e.Group, e.Pos), header.AppendMessage(nil, e.Group, e.Event, e.Pos), false)
	case stream.Recall:
		return event("recalled", d.id(e.Group, e.Pos), header.AppendRecalled(nil, e.Group, e.Event, e.Pos), false)
	case stream.Text, stream.Binary:
		return event("packet", nil, header.AppendPacket(nil, e.Group, e.Event), e.Kind == stream.Binary)
	default:
		return ws.Frame{}
	}
}

// Own implements room.Dialect. Streams do not publish.
func (dialect) Own(*room.Event, *room.Publish) (f ws.Frame, ok bool) { return f, false }

// Answer implements room.Dialect.
func (dialect) Answer(*room.Publish, *room.Receipt) ws.Frame { return ws.Frame{} }

// Refusal implements room.Dialect.
func (dialect) Refusal(*room.Publish, *relay.Result) ws.Frame { return ws.Frame{} }

// Joined implements room.Dialect.
func (d dialect) Joined(j *room.Joined) ws.Frame {
	if j.Request == 0 {
		return ws.Frame{}
	}
	return event("answer", d.id(j.Group, j.Pos), header.AppendJoined(nil, j.Request-1, j.Group, j.Pos, j.Gap), false)
}

// Live implements room.Dialect.
func (d dialect) Live(g group.Name, at stream.Position) ws.Frame {
	return event("live", d.id(g, at), header.AppendLive(nil, g, at), false)
}

// Lost implements room.Dialect.
func (d dialect) Lost(g group.Name, at stream.Position) (ws.Frame, *ws.CloseError) {
	return event("gap", d.id(g, at), header.AppendGap(nil, g, at), false), nil
}

// Left implements room.Dialect. A stream of one group ends with an error.
func (d dialect) Left(g group.Name, why *room.Refusal) (ws.Frame, *ws.CloseError) {
	if d.one {
		return ws.Frame{}, &ws.CloseError{Code: why.Code, Reason: why.Reason}
	}
	left := header.Refusal{Code: why.Code, Msg: why.Reason, RetryAfter: why.Again.Milliseconds()}
	return event("left", nil, header.AppendLeft(nil, g, left), false), nil
}
