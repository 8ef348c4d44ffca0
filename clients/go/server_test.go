package gotapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// script is a server whose WebSockets do what the test says, one after another;
// those after the last are left open.
type script struct {
	t       *testing.T
	history []string // what GET or POST /__/history answers
	sockets []func(s *socket)
	opened  atomic.Int32
}

// socket is the server's end of one WebSocket.
type socket struct {
	t       *testing.T
	conn    *websocket.Conn
	Query   url.Values
	Header  http.Header
	Request string // the target as it was sent
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/__/history" {
		_ = json.NewEncoder(w).Encode(map[string]any{"code": 200, "position": 0, "msg": "", "data": append([]string{}, s.history...)})
		return
	}
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		if _, bad := errors.AsType[websocket.HandshakeError](err); bad { // otherwise the client has left
			s.t.Errorf("upgrade: %v", err)
		}
		return
	}
	defer func() { _ = conn.Close() }()
	n := int(s.opened.Add(1))
	if n <= len(s.sockets) {
		s.sockets[n-1](&socket{t: s.t, conn: conn, Query: r.URL.Query(), Header: r.Header, Request: r.RequestURI})
		return
	}
	_, _, _ = conn.ReadMessage() // until the client leaves
}

func (s *socket) Send(text string) {
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		s.t.Errorf("server: %v", err)
	}
}

func (s *socket) Take() string {
	_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, data, err := s.conn.ReadMessage()
	if err != nil {
		s.t.Errorf("server: %v", err)
	}
	return string(data)
}

// UntilClosed keeps the connection until the client ends it.
func (s *socket) UntilClosed() {
	for {
		if _, _, err := s.conn.ReadMessage(); err != nil {
			return
		}
	}
}

func (s *socket) Close(code int, why string) {
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, why), time.Now().Add(time.Second))
}

func data(uuid string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

func ack(uuid string) string { return fmt.Sprintf(`{"type":1,"command":1,"uuid":%q}`, uuid) }

func recall(uuid string) string { return fmt.Sprintf(`{"type":1,"command":6,"uuid":%q}`, uuid) }

func refusal(uuid string, code int) string {
	return fmt.Sprintf(`{"type":1,"command":7,"uuid":%q,"body":{"data":{"code":%d,"msg":"why"}}}`, uuid, code)
}

// clientOf returns a client of a server that ends with the test.
func clientOf(t *testing.T, h http.Handler) *gotapi.Client {
	t.Helper()
	return clientWith(t, h, gotapi.Options{Token: "secret-token"})
}

func clientWith(t *testing.T, h http.Handler, o gotapi.Options) *gotapi.Client {
	t.Helper()
	var running sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Close() // does not wait for WebSockets
		running.Wait()
	})
	o.RetryMin, o.RetryMax = time.Millisecond, 5*time.Millisecond
	c, err := gotapi.New(srv.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func join(t *testing.T, s *script, o gotapi.JoinOptions) *gotapi.Member {
	t.Helper()
	s.t = t
	m, err := clientOf(t, s).Join("/room", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// heard takes n events, and returns them in short: the
// kind, and the uuid or the data.
func heard(t *testing.T, m *gotapi.Member, n int) []string {
	t.Helper()
	var all []string
	for len(all) < n {
		e, err := m.Next(t.Context())
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		what := e.UUID
		if e.Kind == gotapi.Packet {
			what = string(e.Data)
		}
		if what != "" {
			what = " " + what
		}
		all = append(all, e.Kind.String()+what)
	}
	return all
}
