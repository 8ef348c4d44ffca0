package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Message is one WebSocket message.
type Message struct {
	Binary bool
	Data   string
}

func (m Message) String() string {
	kind := "text"
	if m.Binary {
		kind = "binary"
	}
	return fmt.Sprintf("%s %.300q", kind, m.Data)
}

// Member is a WebSocket connection. One goroutine reads it from the beginning
// and keeps what comes; the test takes it from there.
type Member struct {
	tb   TB
	conn *websocket.Conn
	// Response is the server's answer to the upgrade.
	Response *http.Response

	write  sync.Mutex
	silent atomic.Bool

	mu       sync.Mutex
	changed  chan struct{} // closed and renewed whenever something below changes
	messages []Message
	pings    int
	pongs    []string
	err      error // why the connection ended
}

// Option changes how a member connects.
type Option func(*websocket.Dialer, http.Header)

// Header adds a header to the upgrade.
func Header(name, value string) Option {
	return func(_ *websocket.Dialer, h http.Header) { h.Add(name, value) }
}

// Fragments makes the client cut its messages into frames of that many bytes.
func Fragments(size int) Option {
	return func(d *websocket.Dialer, _ http.Header) { d.WriteBufferSize = size }
}

// ReceiveBuffer makes the client's kernel buffer that small.
func ReceiveBuffer(size int) Option {
	return func(d *websocket.Dialer, _ http.Header) {
		d.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				err = tcp.SetReadBuffer(size)
			}
			return conn, err
		}
	}
}

// TryJoin connects to a path, which is sent as it is. When the server answers
// with anything but 101, resp is that answer and err is not nil.
func TryJoin(tb TB, addr, path string, options ...Option) (m *Member, resp *http.Response, err error) {
	tb.Helper()
	m, resp, err = open(tb, addr, path, options...)
	if err == nil {
		m.Listen()
	}
	return m, resp, err
}

// Join connects to a path, which is sent as it is.
func Join(tb TB, addr, path string, options ...Option) *Member {
	tb.Helper()
	m := JoinDeaf(tb, addr, path, options...)
	m.Listen()
	return m
}

// JoinDeaf connects a member that reads nothing until Listen is called.
func JoinDeaf(tb TB, addr, path string, options ...Option) *Member {
	tb.Helper()
	m, resp, err := open(tb, addr, path, options...) //nolint:bodyclose // the dialer has read and closed it
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		tb.Fatalf("join %s on %s: %v", path, addr, err)
	}
	return m
}

func open(tb TB, addr, path string, options ...Option) (*Member, *http.Response, error) {
	dialer := &websocket.Dialer{HandshakeTimeout: Timeout}
	header := http.Header{}
	for _, o := range options {
		o(dialer, header)
	}
	conn, resp, err := dialer.Dial("ws://"+addr+path, header)
	if err != nil {
		return nil, resp, err
	}
	m := &Member{tb: tb, conn: conn, Response: resp, changed: make(chan struct{})}
	conn.SetPingHandler(func(data string) error {
		m.note(func() { m.pings++ })
		if m.silent.Load() {
			return nil
		}
		m.write.Lock()
		defer m.write.Unlock()
		return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(Timeout))
	})
	conn.SetPongHandler(func(data string) error {
		m.note(func() { m.pongs = append(m.pongs, data) })
		return nil
	})
	tb.Cleanup(func() { _ = conn.Close() })
	return m, resp, nil
}

// Listen starts the reading of a member that was connected with JoinDeaf.
func (m *Member) Listen() {
	go func() {
		for {
			kind, data, err := m.conn.ReadMessage()
			if err != nil {
				m.note(func() { m.err = err })
				return
			}
			m.note(func() {
				m.messages = append(m.messages, Message{Binary: kind == websocket.BinaryMessage, Data: string(data)})
			})
		}
	}()
}

// Silence stops the member from answering pings.
func (m *Member) Silence() { m.silent.Store(true) }

func (m *Member) note(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	close(m.changed)
	m.changed = make(chan struct{})
}

// Text sends a text message.
func (m *Member) Text(data string) {
	m.tb.Helper()
	m.Send(Message{Data: data})
}

// Send sends a message.
func (m *Member) Send(msg Message) {
	m.tb.Helper()
	if err := m.TrySend(msg); err != nil {
		m.tb.Fatalf("send %v: %v", msg, err)
	}
}

// TrySend sends a message on a connection that may be closed.
func (m *Member) TrySend(msg Message) error {
	kind := websocket.TextMessage
	if msg.Binary {
		kind = websocket.BinaryMessage
	}
	m.write.Lock()
	defer m.write.Unlock()
	return m.conn.WriteMessage(kind, []byte(msg.Data))
}

// Fragmented sends a message in frames as small as the option Fragments says.
func (m *Member) Fragmented(data string) {
	m.tb.Helper()
	m.write.Lock()
	defer m.write.Unlock()
	w, err := m.conn.NextWriter(websocket.TextMessage)
	if err == nil {
		_, err = io.WriteString(w, data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		m.tb.Fatalf("send fragments of %.80q: %v", data, err)
	}
}

// Control sends a ping, pong or close frame.
func (m *Member) Control(kind int, data []byte) {
	m.tb.Helper()
	if err := m.conn.WriteControl(kind, data, time.Now().Add(Timeout)); err != nil {
		m.tb.Fatalf("send control frame: %v", err)
	}
}

// Conn is the connection under the WebSocket, for what no WebSocket library
// would send.
func (m *Member) Conn() net.Conn { return m.conn.NetConn() }

// Leave closes the connection and waits until the server has seen it.
func (m *Member) Leave() {
	m.tb.Helper()
	m.Control(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	_ = m.Ended() // however it ends, it has
}

// Next takes the next message.
func (m *Member) Next() Message {
	m.tb.Helper()
	var msg Message
	m.await("the next message", func() bool {
		if len(m.messages) == 0 {
			return false
		}
		msg, m.messages = m.messages[0], m.messages[1:]
		return true
	})
	return msg
}

// Take takes the next n messages.
func (m *Member) Take(n int) []Message {
	m.tb.Helper()
	var got []Message
	m.await(fmt.Sprintf("%d messages", n), func() bool {
		if len(m.messages) < n {
			return false
		}
		got, m.messages = slices.Clone(m.messages[:n]), m.messages[n:]
		return true
	})
	return got
}

// Want takes the next message and checks that it is this text.
func (m *Member) Want(text string) {
	m.tb.Helper()
	m.WantMessage(Message{Data: text})
}

// WantMessage takes the next message and checks that it is this one.
func (m *Member) WantMessage(want Message) {
	m.tb.Helper()
	if got := m.Next(); got != want {
		m.tb.Fatalf("got  %v\nwant %v", got, want)
	}
}

// WantClose waits for the end of the connection and checks how the server
// closed it. What came before is left to be taken.
func (m *Member) WantClose(code int) {
	m.tb.Helper()
	err := m.Ended()
	var end *websocket.CloseError
	if !errors.As(err, &end) || end.Code != code {
		m.tb.Fatalf("the connection ended with %v, want close %d", err, code)
	}
}

// Ended waits for the end of the connection and returns why it ended.
func (m *Member) Ended() error {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait("the end of the connection", Timeout, func() bool { return m.err != nil })
	return m.err
}

// EndedWithin is Ended with a time of its own.
func (m *Member) EndedWithin(d time.Duration) error {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait("the end of the connection", d, func() bool { return m.err != nil })
	return m.err
}

// Rest takes all messages that have arrived.
func (m *Member) Rest() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.messages
	m.messages = nil
	return rest
}

// WantPing waits until the server has sent n pings.
func (m *Member) WantPing(n int, within time.Duration) {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait(fmt.Sprintf("ping number %d", n), within, func() bool { return m.pings >= n || m.err != nil })
	if m.err != nil {
		m.tb.Fatalf("waiting for ping number %d, the connection ended: %v", n, m.err)
	}
}

// WantPong waits for a pong frame with this content.
func (m *Member) WantPong(data string) {
	m.tb.Helper()
	m.await("a pong frame", func() bool { return slices.Contains(m.pongs, data) })
}

// await waits until done returns true; it is called with the lock held. The end of
// the connection fails the test.
func (m *Member) await(what string, done func() bool) {
	m.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	ok := false
	m.wait(what, Timeout, func() bool {
		ok = done()
		return ok || m.err != nil
	})
	if !ok {
		m.tb.Fatalf("waiting for %s, the connection ended: %v", what, m.err)
	}
}

// wait is called with the lock held, which it gives up while it waits.
func (m *Member) wait(what string, limit time.Duration, done func() bool) {
	m.tb.Helper()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for !done() {
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
			m.mu.Lock()
		case <-timeout.C:
			m.mu.Lock()
			m.tb.Fatalf("no %s within %v; %d messages are waiting: %v", what, limit, len(m.messages), m.messages)
			return
		}
	}
}
