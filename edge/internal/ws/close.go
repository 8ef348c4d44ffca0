package ws

import (
	"errors"
	"fmt"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// codeNone means a close frame without a code. Codes are packet.Close...
const codeNone = websocket.CloseNoStatusReceived

// CloseError is why a connection ends, as the close frame says it.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed with %d %q", e.Code, e.Reason)
}

// ErrSlowConsumer ends a connection whose peer does not read fast enough.
var ErrSlowConsumer = &CloseError{packet.CloseTryAgainLater, "slow consumer"}

// ErrGone ends a connection without a close frame: the peer is gone.
var ErrGone = errors.New("the peer is gone")

var (
	errInvalidText = &CloseError{packet.CloseInvalidPayload, "text is not valid UTF-8"}
	errNoMemory    = &CloseError{packet.CloseTryAgainLater, "too many large messages at once"}
	// ErrTooBig ends a connection whose peer has sent too large a message.
	ErrTooBig = &CloseError{packet.CloseTooBig, "message too big"}
)

// PeerClosedError is a close frame from the peer.
type PeerClosedError struct{ Code int }

func (e *PeerClosedError) Error() string { return fmt.Sprintf("peer closed with %d", e.Code) }
