package ws

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Conn is the reading side of a WebSocket. Its methods are for one goroutine,
// except Heard and ClearHeard.
type Conn struct {
	gorilla *websocket.Conn
	socket  *socket
	out     *Outbox
}

// messageBuffers hold messages while they are read: an idle connection has none.
var messageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Read waits for the next message and gives it to handle. The bytes are valid
// only until handle returns. Pings are answered on the way.
//
// After an error nothing more can be read. The error is a *CloseError if the
// peer is at fault and is to be told, a *PeerClosedError if it has closed, and
// anything else if it is gone.
func (c *Conn) Read(handle func(op Opcode, message []byte)) error {
	kind, r, err := c.gorilla.NextReader()
	if err != nil {
		return reason(err)
	}
	buf, _ := messageBuffers.Get().(*bytes.Buffer)
	defer messageBuffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(r); err != nil {
		return reason(err)
	}
	if kind == websocket.TextMessage && !utf8.Valid(buf.Bytes()) {
		return errInvalidText
	}
	handle(Opcode(kind), buf.Bytes())
	return nil
}

func (c *Conn) ping(payload string) error {
	c.out.Send(pong(payload))
	return nil
}

// reason translates gorilla's errors.
func reason(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure:
		return ErrGone // gorilla's way to say EOF
	case closed != nil:
		return &PeerClosedError{Code: closed.Code}
	case errors.Is(err, websocket.ErrReadLimit):
		return errTooBig
	case strings.HasPrefix(err.Error(), "websocket: "):
		// What gorilla's handleProtocolError returns has no type of its own.
		return &CloseError{packet.CloseProtocolError, strings.TrimPrefix(err.Error(), "websocket: ")}
	}
	return err
}

// Finish closes the connection after Read has failed with err: it tells the
// peer what is to be told, and waits until what was queued has been sent. It
// blocks no longer than a peer that reads nothing is borne.
func (c *Conn) Finish(err error) {
	var fault *CloseError
	var closed *PeerClosedError
	switch {
	case errors.As(err, &fault):
		c.out.Close(fault)
		c.out.Wait()
		// Input that is left unread would make TCP reset the connection, and
		// the peer might never see the close frame.
		_, _ = io.Copy(io.Discard, c.socket.Conn) // ends by the read deadline
	case errors.As(err, &closed):
		c.out.Close(&CloseError{Code: closed.Code})
	}
	if c.out.Cause() != nil {
		c.out.Wait()
		_ = c.socket.Conn.Close() // with TLS's own goodbye; both sides know by now
	}
	c.out.Abort(err)
	c.out.Wait()
}

// Heard says whether anything has come from the peer since ClearHeard, if that
// was called at all.
func (c *Conn) Heard() bool { return c.socket.heard.Load() }

// ClearHeard begins a new observation for Heard.
func (c *Conn) ClearHeard() { c.socket.heard.Store(false) }
