// Package v2 renders what happens in rooms for members of gotapi.v2 (docs/protocol.md), and
// the answers to their requests.
package v2

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Dialect is gotapi.v2. A connection has many members, each with a share of its queue.
// One that cannot get something goes on after a gap.
var Dialect room.Dialect = dialect{}

type dialect struct{}

// Request returns the number by which rooms know a request: its id and one. 0 is a request
// without an id, which gets no answer: all frames that answer it are zero.
func Request(id header.Integer) uint64 {
	if !id.Set {
		return 0
	}
	return id.Value + 1
}

const (
	// About the sizes of an answer, and of one or an event with a position.
	answerSize = 64
	placeSize  = 112 + stream.MaxPositionText
)

func seal(buf []byte) ws.Frame { return ws.Seal(ws.OpText, buf) }

// OK returns the answer to a request that has succeeded and has nothing to say.
func OK(request uint64) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	return seal(header.AppendOK(ws.Reserve(answerSize), request-1))
}

// Refusal returns the answer to a request that is refused.
func Refusal(request uint64, why header.Refusal) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	return seal(header.AppendRefusal(ws.Reserve(answerSize+len(why.Msg)), request-1, why))
}

// Renewed returns the answer to a new credential; header.AppendRenewed explains expiresIn.
func Renewed(request uint64, expiresIn int64) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	return seal(header.AppendRenewed(ws.Reserve(answerSize), request-1, expiresIn))
}

// History returns a page of about so many bytes of texts.
func History(request uint64, g group.Name, messages []header.Message, more bool, bytes int) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	buf := ws.Reserve(answerSize + len(messages)*placeSize + bytes + bytes/4)
	return seal(header.AppendHistory(buf, request-1, g, messages, more))
}

// Hello returns the event that a connection begins with.
func Hello(h *header.Hello) ws.Frame { return seal(header.AppendHello(ws.Reserve(256), h)) }

// Error returns what a message gets that cannot be read.
func Error(code int, why string) ws.Frame {
	return seal(header.AppendError(ws.Reserve(answerSize+len(why)), code, why))
}

func stored(request uint64, g group.Name, s *header.Stored) ws.Frame {
	if request == 0 {
		return ws.Frame{}
	}
	return seal(header.AppendStored(ws.Reserve(placeSize), request-1, g, s))
}

// Traits implements room.Dialect.
func (dialect) Traits() room.Traits { return room.Traits{EveryChange: true, Shares: true} }

// Event implements room.Dialect.
func (dialect) Event(e *room.Event) ws.Frame {
	op, buf := ws.OpText, ws.Reserve(header.MessageSize(e.Group, e.Event))
	switch e.Kind {
	case stream.Message:
		buf = header.AppendMessage(buf, e.Group, e.Event, e.Pos)
	case stream.Recall:
		buf = header.AppendRecalled(buf, e.Group, e.Event, e.Pos)
	case stream.Text:
		buf = header.AppendPacket(buf, e.Group, e.Event)
	case stream.Binary:
		op, buf = ws.OpBinary, header.AppendPacket(buf, e.Group, e.Event)
	default:
		return ws.Frame{}
	}
	return ws.Seal(op, buf)
}

// Own implements room.Dialect. A publish without an id is not answered: its message comes
// as any other.
func (dialect) Own(e *room.Event, p *room.Publish) (f ws.Frame, ok bool) {
	if p == nil || p.Request == 0 {
		return f, false
	}
	return stored(p.Request, e.Group, &header.Stored{
		Seq: e.Seq, At: e.At, Pos: &e.Pos, Recalled: e.Kind == stream.Tombstone,
	}), true
}

// Answer implements room.Dialect.
func (dialect) Answer(p *room.Publish, r *room.Receipt) ws.Frame {
	if r.Seq == 0 { // not stored
		return OK(p.Request)
	}
	return stored(p.Request, p.Group, &header.Stored{Seq: r.Seq, At: r.At, Duplicate: r.Duplicate, Recalled: r.Recalled})
}

// Refusal implements room.Dialect.
func (dialect) Refusal(p *room.Publish, r *relay.Result) ws.Frame {
	refusal := header.Refusal{Code: r.Outcome.Code(), Msg: r.Reason}
	if r.Again > 0 {
		refusal.RetryAfter = r.Again.Milliseconds() + 1
	}
	return Refusal(p.Request, refusal)
}

// Joined implements room.Dialect.
func (dialect) Joined(j *room.Joined) ws.Frame {
	if j.Request == 0 {
		return ws.Frame{}
	}
	return seal(header.AppendJoined(ws.Reserve(placeSize), j.Request-1, j.Group, j.Pos, j.Gap))
}

// Live implements room.Dialect.
func (dialect) Live(g group.Name, at stream.Position) ws.Frame {
	return seal(header.AppendLive(ws.Reserve(placeSize+len(g)), g, at))
}

// Lost implements room.Dialect.
func (dialect) Lost(g group.Name, at stream.Position) (ws.Frame, *ws.CloseError) {
	return seal(header.AppendGap(ws.Reserve(placeSize+len(g)), g, at)), nil
}

// Left implements room.Dialect.
func (dialect) Left(g group.Name, why *room.Refusal) (ws.Frame, *ws.CloseError) {
	refusal := header.Refusal{Code: why.Code, Msg: why.Reason, RetryAfter: why.Again.Milliseconds()}
	return seal(header.AppendLeft(ws.Reserve(placeSize+len(g)+len(why.Reason)), g, refusal)), nil
}
