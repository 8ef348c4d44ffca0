package session_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/pipetest"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// edge is a server with everything it needs, in a synctest bubble, on
// connections in memory.
type edge struct {
	*testing.T
	// What was logged, from level Info on.
	lines    *telemetrytest.Log
	relay    *roomtest.Relay
	rooms    *room.Registry
	server   *session.Server
	history  *fakeHistory
	listener *pipetest.Listener
	// Who connects, and from where; "": a pipe.
	by   *access.Identity
	from string
	// Of upgrades.
	header http.Header
}

// fakeHistory answers what the test wants.
type fakeHistory struct {
	mu     sync.Mutex
	answer func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error)
	cancel func(context.Context, *historyv1.CancelRequest) (*historyv1.CancelResponse, error)

	messages func(context.Context, *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error)
}

func (f *fakeHistory) Messages(ctx context.Context, r *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error) {
	f.mu.Lock()
	messages := f.messages
	f.mu.Unlock()
	return messages(ctx, r)
}

func (f *fakeHistory) Cancel(ctx context.Context, r *historyv1.CancelRequest) (*historyv1.CancelResponse, error) {
	f.mu.Lock()
	cancel := f.cancel
	f.mu.Unlock()
	return cancel(ctx, r)
}

func (f *fakeHistory) GetHistory(ctx context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	return answer(ctx, r)
}

// inBubble runs a test against an edge whose relay does at once what it can.
func inBubble(t *testing.T, opts session.Options, test func(e *edge)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t, opts)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.relay.Run(ctx) })
		running.Go(func() { _ = e.rooms.Run(ctx) })
		running.Go(func() { _ = e.server.Run(ctx) })
		web := &http.Server{Handler: http.HandlerFunc(e.serve), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		running.Go(func() { _ = web.Serve(e.listener) })
		defer running.Wait()
		defer func() { _ = web.Close() }()
		defer cancel()
		defer func() {
			over, stop := context.WithTimeout(context.Background(), 30*time.Second)
			defer stop()
			_ = e.server.Drain(over, 0)
		}()
		test(e)
	})
}

func newEdge(t *testing.T, opts session.Options) *edge {
	t.Helper()
	r := roomtest.New(1, 10)
	lines := new(telemetrytest.Log)
	log := slog.New(slog.NewTextHandler(lines, nil))
	reg := prometheus.NewRegistry()
	rooms := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), reg), log, reg)
	r.Serve(rooms)
	h := &fakeHistory{}
	return &edge{
		T: t, lines: lines, relay: r, rooms: rooms, history: h, by: access.System(),
		server:   session.New(opts, rooms, r, h, log, reg),
		listener: pipetest.NewListener(0),
	}
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	if e.from != "" {
		r.RemoteAddr = e.from
	}
	if r.URL.Path == v2Path {
		e.server.ServeV2(w, r, e.by)
		return
	}
	name, err := group.Parse(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.server.ServeHTTP(w, r, name, e.by)
}

// client is a connection as its user sees it.
type client struct {
	*websocket.Conn
	e *edge

	mu   sync.Mutex
	got  []string
	ping []time.Time // when pings came
	code int         // of the close frame
	err  error
}

// answer is what a request got instead of an upgrade.
type answer struct {
	status int
	header http.Header
}

func (e *edge) tryDial(path string, header http.Header) (*websocket.Conn, answer, error) {
	d := websocket.Dialer{NetDialContext: e.listener.Dial}
	conn, resp, err := d.Dial("ws://edge"+path, header)
	if resp == nil {
		return conn, answer{}, err
	}
	_ = resp.Body.Close()
	return conn, answer{resp.StatusCode, resp.Header}, err
}

// dial connects, and reads everything that comes.
func (e *edge) dial(path string) *client {
	e.Helper()
	c := e.dialDeaf(path)
	c.listen()
	synctest.Wait()
	return c
}

// dialDeaf connects, and reads nothing.
func (e *edge) dialDeaf(path string) *client {
	e.Helper()
	conn, _, err := e.tryDial(path, e.header)
	if err != nil {
		e.Fatalf("dial %s: %v", path, err)
	}
	c := &client{Conn: conn, e: e}
	conn.SetPingHandler(func(s string) error {
		c.pinged()
		return conn.WriteControl(websocket.PongMessage, []byte(s), time.Now().Add(time.Second))
	})
	e.Cleanup(func() { _ = conn.Close() })
	return c
}

func (c *client) listen() {
	c.listenAs(func(op int, b []byte) string { return roomtest.Short(byte(op), b) })
}

// listenAs notes each message as short names it.
func (c *client) listenAs(short func(op int, b []byte) string) {
	go func() {
		for {
			op, b, err := c.ReadMessage()
			if err != nil {
				c.ended(err)
				return
			}
			c.note(short(op, b))
		}
	}()
}

func (c *client) note(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, s)
}

func (c *client) pinged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ping = append(c.ping, time.Now())
}

func (c *client) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		c.code = closed.Code
	}
}

func (c *client) send(op int, text string) {
	c.e.Helper()
	if err := c.WriteMessage(op, []byte(text)); err != nil {
		c.e.Fatalf("send: %v", err)
	}
	synctest.Wait()
}

func (c *client) text(texts ...string) {
	c.e.Helper()
	for _, t := range texts {
		c.send(websocket.TextMessage, t)
	}
}

func (c *client) data(uuids ...string) {
	c.e.Helper()
	for _, uuid := range uuids {
		c.text(string(roomtest.Data(uuid)))
	}
}

func (c *client) wantGot(want ...string) {
	c.e.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(want, c.got); diff != "" {
		c.e.Errorf("got (-want +got):\n%s", diff)
	}
}

// wantClosed checks the code of the close frame; 0 is none, but closed.
func (c *client) wantClosed(code int) {
	c.e.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil || c.code != code && (code != 0 || c.code != websocket.CloseAbnormalClosure) {
		c.e.Errorf("closed with %d (%v), want %d", c.code, c.err, code)
	}
}

func (c *client) wantOpen() {
	c.e.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.e.Errorf("closed: %v, want open", c.err)
	}
}

// wantRefused checks an upgrade that is refused.
func (e *edge) wantRefused(path string, header http.Header, status int) http.Header {
	e.Helper()
	conn, got, err := e.tryDial(path, header)
	switch {
	case err == nil:
		_ = conn.Close()
		e.Errorf("dial %s: no error, want status %d", path, status)
	case got.status != status:
		e.Errorf("dial %s: status %d (%v), want %d", path, got.status, err, status)
	}
	return got.header
}

// do sends a request that need not be an upgrade, and returns the status.
func (e *edge) do(method, path string, headers map[string]string) int {
	e.Helper()
	transport := &http.Transport{DialContext: e.listener.Dial, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(e.Context(), method, "http://edge"+path, strings.NewReader(""))
	if err != nil {
		e.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		e.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}
