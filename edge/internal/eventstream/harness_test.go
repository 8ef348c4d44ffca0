package eventstream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/pipetest"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// edge is a server with everything it needs, in a synctest bubble, on connections in
// memory.
type edge struct {
	*testing.T
	relay    *roomtest.Relay
	rooms    *room.Registry
	sessions *session.Server
	server   *eventstream.Server
	listener *pipetest.Listener
	by       *access.Identity
	// What ends the requests of clients.
	cancels []context.CancelFunc
}

// inBubble runs a test against an edge whose relay does at once what it can. HTTP servers
// have the limits of production.
func inBubble(t *testing.T, opts eventstream.Options, test func(e *edge)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := roomtest.New(1, 10)
		log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
		rooms := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), reg), log, reg)
		r.Serve(rooms)
		sessions := session.New(session.Options{}, rooms, nil, nil, log, reg)
		e := &edge{
			T: t, relay: r, rooms: rooms, sessions: sessions, by: access.System(),
			server:   eventstream.New(opts, rooms, sessions, log, reg),
			listener: pipetest.NewListener(0),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		running.Go(func() { _ = rooms.Run(ctx) })
		web := &http.Server{
			Handler: http.HandlerFunc(e.serve), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
			ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		}
		running.Go(func() { _ = web.Serve(e.listener) })
		defer running.Wait()
		defer cancel()
		defer func() { _ = web.Close() }()
		test(e)
		for _, end := range e.cancels {
			end()
		}
		over, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		e.server.Drain(over, 0)
		_ = e.sessions.Drain(over, 0)
		if over.Err() != nil {
			t.Error("the streams have not ended")
		}
	})
}

// serve does what package gateway does.
func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	wait, _ := strconv.Atoi(q.Get("wait"))
	last, _ := strconv.Atoi(q.Get("last"))
	switch {
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		e.server.ServeGroups(w, r, e.by, body)
	case r.Header.Get("Accept") == "text/event-stream":
		e.server.ServeGroup(w, r, e.by, group.Name(r.URL.Path), q.Get("from"), header.Integer{Value: uint64(last), Set: q.Has("last")})
	default:
		e.server.ServePoll(w, r, e.by, group.Name(q.Get("groupName")), q.Get("from"), time.Duration(wait)*time.Second)
	}
}

// publish stores messages.
func (e *edge) publish(g group.Name, uuids ...string) {
	e.Helper()
	for _, uuid := range uuids {
		e.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{Group: g, Kind: stream.Message, UUID: uuid, Payload: roomtest.Data(uuid)})
		synctest.Wait()
	}
}

func (e *edge) say(g group.Name, kind stream.Kind, text string) {
	e.Helper()
	e.relay.PublishFrom(roomtest.OtherEdge, &relay.Publication{Group: g, Kind: kind, Payload: []byte(text)})
	synctest.Wait()
}

// event is what a stream has brought.
type event struct {
	On, ID string
	Data   data
}

type data struct {
	On, Group, Pos, Msg  string
	Re                   *uint64
	Code                 int
	Gap                  bool
	Seq                  uint64
	UUID                 string
	Packet, PacketBase64 *string
}

// client reads a stream.
type client struct {
	e      *edge
	answer *http.Response
	cancel context.CancelFunc
	conn   net.Conn

	mu       sync.Mutex
	got      []event
	raw      strings.Builder
	retries  []string
	comments int
	err      error
}

func (e *edge) request(method, path, body string, headers ...string) *http.Request {
	e.Helper()
	r, err := http.NewRequest(method, "http://edge"+path, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

// do sends a request, and returns the answer and its connection.
func (e *edge) do(r *http.Request) (*http.Response, net.Conn, context.CancelFunc) {
	e.Helper()
	ctx, cancel := context.WithCancel(e.Context())
	var conn net.Conn
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		conn, err = e.listener.Dial(ctx, network, address)
		return conn, err
	}}
	e.cancels = append(e.cancels, cancel)
	answer, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		e.Fatal(err)
	}
	return answer, conn, cancel
}

// open opens a stream, and reads it.
func (e *edge) open(r *http.Request) *client {
	e.Helper()
	c := e.openDeaf(r)
	go c.read()
	synctest.Wait()
	return c
}

// openDeaf opens a stream, and does not read it.
func (e *edge) openDeaf(r *http.Request) *client {
	e.Helper()
	c := &client{e: e}
	c.answer, c.conn, c.cancel = e.do(r)
	synctest.Wait() // it is joined
	return c
}

func (e *edge) stream(path string, headers ...string) *client {
	e.Helper()
	return e.open(e.request(http.MethodGet, path, "", append(headers, "Accept: text/event-stream")...))
}

func (c *client) read() {
	lines := bufio.NewReader(c.answer.Body)
	var one event
	for {
		line, err := lines.ReadString('\n')
		c.mu.Lock()
		c.raw.WriteString(line)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case err != nil:
			c.err = err
		case name == "event":
			one.On = value
		case name == "id":
			one.ID = value
		case name == "data":
			if err := json.Unmarshal([]byte(value), &one.Data); err != nil {
				c.e.Errorf("%v in %q", err, value)
			}
		case name == "retry":
			c.retries = append(c.retries, value)
		case name == ":":
			c.comments++
		case name == "" && one.On != "":
			c.got = append(c.got, one)
			one = event{}
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// short is an event in a few words.
func (e event) short() string {
	d := e.Data
	switch e.On {
	case "answer":
		s := "answer " + strconv.Itoa(d.Code)
		if d.Re != nil && *d.Re != 0 {
			s = "answer " + strconv.FormatUint(*d.Re, 10) + " " + strconv.Itoa(d.Code)
		}
		if d.Gap {
			s += " gap"
		}
		return s
	case "message":
		var p struct{ UUID string }
		_ = json.Unmarshal([]byte(*d.Packet), &p)
		return d.Group + " " + strconv.FormatUint(d.Seq, 10) + " " + p.UUID
	case "packet":
		if d.PacketBase64 != nil {
			return d.Group + " base64 " + *d.PacketBase64
		}
		return d.Group + " packet " + *d.Packet
	case "recalled":
		return d.Group + " recalled " + d.UUID
	case "error":
		return "error " + strconv.Itoa(d.Code)
	default:
		return d.Group + " " + e.On
	}
}

func (c *client) events() []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]event(nil), c.got...)
}

func (c *client) wantGot(want ...string) {
	c.e.Helper()
	synctest.Wait()
	var got []string
	for _, one := range c.events() {
		got = append(got, one.short())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.e.Errorf("got (-want +got):\n%s", diff)
	}
}

func (c *client) wantEnded(ended bool) {
	c.e.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if (c.err != nil) != ended || ended && c.err != io.EOF { //nolint:errorlint // as readers of bodies return it
		c.e.Errorf("the stream ended with %v, want it ended: %t", c.err, ended)
	}
}

// lastID is that of the last event with an id.
func (c *client) lastID() (id string) {
	for _, one := range c.events() {
		if one.ID != "" {
			id = one.ID
		}
	}
	return id
}

// poll is the answer to a long poll.
type poll struct {
	status int
	Code   int
	Events []data
	Pos    string
	Gap    bool
	// How long it took.
	took time.Duration
}

func (e *edge) poll(query string) poll {
	e.Helper()
	began := time.Now()
	answer, _, cancel := e.do(e.request(http.MethodGet, "/__/events?"+query, ""))
	defer cancel()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		e.Fatal(err)
	}
	_ = answer.Body.Close()
	p := poll{status: answer.StatusCode, took: time.Since(began)}
	if err := json.Unmarshal(body, &p); err != nil {
		e.Fatalf("%v in %s", err, body)
	}
	return p
}

func (p *poll) short() (all []string) {
	for _, d := range p.Events {
		all = append(all, event{On: d.On, Data: d}.short())
	}
	return all
}
