package ws

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Conn is the reading side of a WebSocket. Its methods are for one goroutine,
// except Received and ResetReceived.
type Conn struct {
	gorilla *websocket.Conn
	socket  *socket
	out     *Outbox
	// Odd while a message has begun and is not complete.
	begun atomic.Uint32
	hold  Hold
}

// Hold takes what a message that is not complete needs of a budget. It may wait. It
// returns what gives it back, and false if the budget is used up.
type Hold func() (release func(), ok bool)

// smallMessage is how much of a message is read without a part of the budget.
const smallMessage = 4 << 10

// message is what a message is read with.
type message struct {
	bytes.Buffer
	text textReader
}

// messages are in use while messages are read: an idle connection has none.
var messages = sync.Pool{New: func() any { return new(message) }}

func (m *message) release() {
	m.Reset()
	m.text = textReader{}
	messages.Put(m)
}

// Read waits for the next message and gives it to handle. The bytes are valid
// only until handle returns. Read answers pings meanwhile.
//
// After an error nothing more can be read. If the peer is at fault, it is a *CloseError,
// which Finish sends. If the peer has closed, it is a *PeerClosedError. Any other error
// means that the peer is gone.
func (c *Conn) Read(handle func(op Opcode, message []byte)) error {
	kind, r, err := c.gorilla.NextReader()
	if err != nil {
		return reason(err)
	}
	m, _ := messages.Get().(*message)
	defer m.release()
	if kind == websocket.TextMessage {
		m.text = textReader{Reader: r}
		r = &m.text
	}
	c.begun.Add(1)
	release, err := c.readMessage(&m.Buffer, r)
	c.begun.Add(1)
	release()
	if err != nil {
		return reason(err)
	}
	handle(Opcode(kind), m.Bytes())
	return nil
}

// readMessage reads a message into buf. release gives its part of the budget back.
func (c *Conn) readMessage(buf *bytes.Buffer, r io.Reader) (release func(), err error) {
	nothing := func() {}
	if c.hold == nil {
		_, err = buf.ReadFrom(r)
		return nothing, err
	}
	switch _, err := io.CopyN(buf, r, smallMessage); {
	case errors.Is(err, io.EOF):
		return nothing, nil
	case err != nil:
		return nothing, err
	}
	release, ok := c.hold()
	if !ok {
		return nothing, errNoMemory
	}
	_, err = buf.ReadFrom(r)
	return release, err
}

// LimitMessages makes messages of more than a few KiB take a part of a budget until they
// are complete. Call it before the first Read.
func (c *Conn) LimitMessages(hold Hold) { c.hold = hold }

// CountFrames makes the Conn call f for frames that are no messages: pings, pongs and
// small fragments. An error of f ends the connection. Call it before the first Read.
func (c *Conn) CountFrames(f func(frames int) error) { c.socket.small = f }

// Unfinished returns a number that is the same for as long as one message has begun and
// is not complete; 0 if none is.
func (c *Conn) Unfinished() uint32 {
	if n := c.begun.Load(); n%2 == 1 {
		return n
	}
	return 0
}

func (c *Conn) ping(payload string) error {
	c.out.Send(pong(payload))
	return nil
}

// reason translates gorilla's errors.
func reason(err error) error {
	var closed *websocket.CloseError
	var ours *CloseError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure:
		return ErrGone // gorilla's way to say EOF
	case closed != nil:
		return &PeerClosedError{Code: closed.Code}
	case errors.Is(err, websocket.ErrReadLimit):
		return ErrTooBig
	case strings.HasPrefix(err.Error(), "websocket: "):
		// What gorilla's handleProtocolError returns has no type of its own.
		return &CloseError{packet.CloseProtocolError, strings.TrimPrefix(err.Error(), "websocket: ")}
	}
	return err
}

// Finish closes the connection after Read has failed with err. It sends what is
// queued and the close frame, and waits for that; the write timeout bounds it.
func (c *Conn) Finish(err error) {
	var fault *CloseError
	var closed *PeerClosedError
	switch {
	case errors.As(err, &fault):
		c.out.Close(fault)
		c.out.Wait()
		// Input that is left unread would make TCP reset the connection, and
		// the peer might never see the close frame.
		c.socket.awaitClose()
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

// Received reports whether bytes have come from the peer since ResetReceived. It is
// true before the first ResetReceived.
func (c *Conn) Received() bool { return c.socket.received.Load() }

// ResetReceived begins a new observation for Received.
func (c *Conn) ResetReceived() { c.socket.received.Store(false) }
