package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// tape is a connection that sends what is on it, and then ends.
type tape struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *tape) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c *tape) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *tape) Close() error                     { return nil }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// hijackable is a ResponseWriter over a tape.
type hijackable struct {
	http.ResponseWriter
	conn *tape
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func upgradeHeader() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"MDEyMzQ1Njc4OWFiY2RlZg=="},
	}
}

// FuzzRead feeds a connection anything. It must end, with a reason, having
// handed out only messages within the limits; and what it has written after
// the 101 are whole frames, of which a close frame is the last.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'})
	f.Add([]byte{0x01, 0x81, 1, 2, 3, 4, 'h', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x81, 0, 0, 0, 0, 'i'})
	f.Add([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8})
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xc1, 0x80, 0, 0, 0, 0})
	f.Add([]byte{0x81, 0x81, 0, 0, 0, 0, 'x', 0x81, 0xfe, 0, 1, 0, 0, 0, 0, 'x', 0x88, 0x80, 0, 0, 0, 0})
	f.Add([]byte{0x88, 0x81, 0, 0, 0, 0, 3, 0x88, 0x80, 0, 0, 0, 0})
	u := NewUpgrader(Options{MaxMessage: 100})
	f.Fuzz(func(t *testing.T, input []byte) {
		conn := &tape{in: bytes.NewReader(nil)}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = upgradeHeader()
		out := NewOutbox(Limits{Frames: 1000, Bytes: 1 << 20}, NewFlusher(prometheus.NewRegistry()))
		c, err := u.Upgrade(hijackable{httptest.NewRecorder(), conn}, r, Subprotocol{Name: "gotapi.v1"}, out)
		if err != nil {
			t.Fatal(err)
		}
		conn.out.Reset()
		conn.in = bytes.NewReader(input)
		for err == nil {
			err = c.Read(func(op Opcode, message []byte) {
				if len(message) > 100 || op == OpText && !utf8.Valid(message) || op != OpText && op != OpBinary {
					t.Errorf("message of %d bytes with opcode %d: %q", len(message), op, message)
				}
			})
		}
		c.Finish(err)
		wantFrames(t, conn.out.Bytes(), err)
	})
}

// wantFrames checks that raw is pongs and at most one close frame, at the end.
func wantFrames(t *testing.T, raw []byte, err error) {
	t.Helper()
	closed := false
	for len(raw) > 0 {
		if closed || len(raw) < 2 || raw[1] > maxControl || len(raw) < 2+int(raw[1]) {
			t.Fatalf("no whole frame, or one after the close frame: % x", raw)
		}
		f := Frame{raw: raw[:2+raw[1]]}
		if op := f.Opcode(); op != OpPong && op != OpClose {
			t.Fatalf("opcode %d", op)
		}
		closed = f.Opcode() == OpClose
		raw = raw[f.Size():]
	}
	var fault *CloseError
	var peer *PeerClosedError
	if told := errors.As(err, &fault) || errors.As(err, &peer); told != closed && !errors.Is(err, ErrSlowConsumer) {
		t.Fatalf("ended with %v, close frame: %v", err, closed)
	}
}
