package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// This file is everything that the package knows of what members see: each thing that
// happens to a member, as a frame.

const (
	codeGone = 410
	gapText  = "messages were lost or trimmed: read the history again"
)

var (
	gapFrame = ws.Seal(ws.OpText, packet.AppendError(ws.Reserve(0), "", codeGone, gapText))
	errLost  = &ws.CloseError{Code: packet.CloseServiceRestart, Reason: "messages were lost"}
)

func ackFrame(uuid string) ws.Frame {
	return ws.Seal(ws.OpText, packet.AppendAck(ws.Reserve(48+len(uuid)), uuid))
}

func recallFrame(uuid string) ws.Frame {
	return ws.Seal(ws.OpText, packet.AppendRecall(ws.Reserve(48+len(uuid)), uuid))
}

func refusalFrame(uuid string, r relay.Result) ws.Frame {
	buf := ws.Reserve(128 + len(uuid) + len(r.Reason))
	if r.Again > 0 {
		return ws.Seal(ws.OpText, packet.AppendTooMuch(buf, uuid, r.Reason, r.Again.Milliseconds()+1))
	}
	return ws.Seal(ws.OpText, packet.AppendError(buf, uuid, r.Outcome.Code(), r.Reason))
}

// eventFrame is what members get that did not send e; the zero Frame for a tombstone.
func eventFrame(e *stream.Event) ws.Frame {
	switch e.Kind {
	case stream.Message, stream.Text:
		return ws.Text(e.Payload)
	case stream.Binary:
		return ws.Binary(e.Payload)
	case stream.Recall:
		return recallFrame(e.UUID)
	default:
		return ws.Frame{}
	}
}

// uuidOf returns the uuid of a message or a tombstone.
func uuidOf(e *stream.Event) string {
	if e.Kind == stream.Message {
		return packet.Classify(e.Payload).UUID
	}
	return e.UUID
}
