package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

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

// publicFrame is what members get who did not send e; none for a tombstone.
func publicFrame(e *stream.Event) (f ws.Frame, ok bool) {
	switch e.Kind {
	case stream.Message, stream.Text:
		return ws.Text(e.Payload), true
	case stream.Binary:
		return ws.Binary(e.Payload), true
	case stream.Recall:
		return recallFrame(e.UUID), true
	default:
		return ws.Frame{}, false
	}
}

// senderFrame is what the sender of e gets in its place; none for a broadcast
// that is not stored.
func senderFrame(e *stream.Event) (f ws.Frame, ok bool) {
	switch e.Kind {
	case stream.Message:
		return ackFrame(packet.Classify(e.Payload).UUID), true
	case stream.Tombstone:
		return ackFrame(e.UUID), true
	default:
		return ws.Frame{}, false
	}
}
