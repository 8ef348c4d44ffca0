package ws_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

var limits = ws.Limits{Frames: 4096, Bytes: 1 << 20}

// echo is a server that sends every message back, over real TCP.
func echo(t *testing.T, secure bool) (url string) {
	t.Helper()
	u := ws.NewUpgrader(ws.Options{MaxMessage: 1000})
	flusher := ws.NewFlusher(prometheus.NewRegistry())
	var sessions sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.Check(w, r) {
			return
		}
		out := ws.NewOutbox(limits, flusher)
		conn, err := u.Upgrade(w, r, ws.Subprotocol{Name: "gotapi.v1"}, out)
		if err != nil {
			return
		}
		sessions.Go(func() { serve(conn, out) })
	}))
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.Close()
		sessions.Wait()
		flusher.Wait()
	})
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func serve(conn *ws.Conn, out *ws.Outbox) {
	for {
		err := conn.Read(func(op ws.Opcode, message []byte) {
			if string(message) == "close" {
				out.Close(&ws.CloseError{Code: 1001, Reason: "bye"})
				return
			}
			if op == ws.OpBinary {
				out.Send(ws.Binary(message))
				return
			}
			out.Send(ws.Text(message))
		})
		if err != nil {
			conn.Finish(err)
			return
		}
	}
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	c, resp, err := d.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // it has none
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantClose(t *testing.T, c *websocket.Conn, code int) {
	t.Helper()
	for {
		_, _, err := c.ReadMessage()
		if err == nil {
			continue
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != code {
			t.Errorf("closed with %v, want %d", err, code)
		}
		return
	}
}

func TestMessagesTravelOverTCPAndTLS(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			c := dial(t, echo(t, secure))
			for size := range 1000 {
				want := strings.Repeat("x", size)
				op := 1 + size%2
				if err := c.WriteMessage(op, []byte(want)); err != nil {
					t.Fatal(err)
				}
				got, b, err := c.ReadMessage()
				if err != nil || got != op || string(b) != want {
					t.Fatalf("sent %d bytes with opcode %d, got %d with %d: %v", size, op, len(b), got, err)
				}
			}
			if err := c.WriteMessage(websocket.TextMessage, []byte("close")); err != nil {
				t.Fatal(err)
			}
			wantClose(t, c, 1001)
		})
	}
}

func TestOurSubprotocolIsSelectedWhenItIsOffered(t *testing.T) {
	for _, tt := range []struct {
		offered []string // lines
		want    string
	}{
		{nil, ""},
		{[]string{"gotapi.v1"}, "gotapi.v1"},
		{[]string{"gotapi.v1, gotapi.bearer.a%2Fb"}, "gotapi.v1"},
		{[]string{"gotapi.bearer.a%2Fb,gotapi.v1"}, "gotapi.v1"},
		{[]string{"gotapi.bearer.a%2Fb", "gotapi.v1"}, "gotapi.v1"},
		{[]string{"mqtt, stomp", "", "x,\tgotapi.v1 ,"}, "gotapi.v1"},
		// A token is never echoed, and others' protocols are not ours to speak.
		{[]string{"gotapi.bearer.a%2Fb"}, ""},
		{[]string{"gotapi.bearer.gotapi.v1", "mqtt"}, ""},
		{[]string{"mqtt", "GOTAPI.v1"}, ""},
	} {
		c, resp, err := websocket.DefaultDialer.Dial(echo(t, false), http.Header{"Sec-WebSocket-Protocol": tt.offered})
		if err != nil {
			t.Fatalf("offered %q: %v", tt.offered, err)
		}
		_ = resp.Body.Close() // it has none
		if got := c.Subprotocol(); got != tt.want {
			t.Errorf("offered %q: %q selected, want %q", tt.offered, got, tt.want)
		}
		exchange(t, c, "hello")
		_ = c.Close()
	}
}

// exchange sends a text and waits for its echo.
func exchange(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.ReadMessage(); err != nil || string(got) != text {
		t.Fatalf("sent %q, got %q, %v", text, got, err)
	}
}

func TestPeerSeesTheCloseFrameAlthoughItGoesOnSending(t *testing.T) {
	c := dial(t, echo(t, false))
	// Far more than the socket buffers and the limit: the server refuses it at
	// its header and leaves the rest unread.
	go func() { _ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 4<<20)) }()
	wantClose(t, c, 1009)
	_ = c.Close()
}

func TestPingIsAnsweredBetweenFragments(t *testing.T) {
	conn := rawDial(t, echo(t, false))
	send(t, conn, 0x01, "hel") // text, not final
	send(t, conn, 0x89, "ping")
	send(t, conn, 0x80, "lo") // continuation, final
	want(t, conn, 0x8a, "ping")
	want(t, conn, 0x81, "hello")
}

func TestBrokenInputIsAnsweredWithItsCode(t *testing.T) {
	for name, tt := range map[string]struct {
		first   byte
		payload string
		want    int
	}{
		"reserved bit":       {0xc1, "x", 1002},
		"unknown opcode":     {0x83, "x", 1002},
		"lone continuation":  {0x80, "x", 1002},
		"fragmented control": {0x09, "x", 1002},
		"bad close code":     {0x88, "\x03\xe7", 1002},
		"invalid UTF-8":      {0x81, "\xff", 1007},
		"too large":          {0x81, strings.Repeat("x", 1001), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			conn := rawDial(t, echo(t, false))
			send(t, conn, 0x81, "before")
			send(t, conn, tt.first, tt.payload)
			want(t, conn, 0x81, "before")
			op, payload := receive(t, conn)
			if op != 0x88 || len(payload) < 2 || int(binary.BigEndian.Uint16([]byte(payload))) != tt.want {
				t.Errorf("got %#x % x, want a close frame with %d", op, payload, tt.want)
			}
			_ = conn.(*net.TCPConn).CloseWrite() // what a client does then
			if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("after the close frame: %d bytes, %v; want EOF", n, err)
			}
		})
	}
}

// rawDial connects without a WebSocket library.
func rawDial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	head := ""
	for b := make([]byte, 1); !strings.HasSuffix(head, "\r\n\r\n"); head += string(b) {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("handshake: %v after %q", err, head)
		}
	}
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("handshake: %q", head)
	}
	return conn
}

// send writes a masked frame; the mask is zero.
func send(t *testing.T, conn net.Conn, first byte, payload string) {
	t.Helper()
	b := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(len(payload)))
	}
	b = append(append(b, 0, 0, 0, 0), payload...)
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receive reads a short frame.
func receive(t *testing.T, conn net.Conn) (first byte, payload string) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, head[1])
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	return head[0], string(b)
}

func want(t *testing.T, conn net.Conn, first byte, payload string) {
	t.Helper()
	if f, p := receive(t, conn); f != first || p != payload {
		t.Errorf("got %#x %q, want %#x %q", f, p, first, payload)
	}
}
