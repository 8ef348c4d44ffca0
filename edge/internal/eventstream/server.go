// Package eventstream serves the events of groups over HTTP, without WebSockets: as
// server-sent events, whose reader is a member, and to long polls.
//
// A stream is a connection of rooms that renders package sse's dialects into the body of
// an answer. A long poll is such a stream, read by the server itself, that ends after
// its first events (collector).
package eventstream

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// Options of a Server. A zero field means the default.
type Options struct {
	// Queue bounds what waits for one client; 4096 frames and 1 MiB.
	Queue ws.Limits
	// MaxGroups is how many groups one stream may join; 128. Reconfigure ignores it.
	MaxGroups int
	// Limits of clients; nil: none. Reconfigure ignores them.
	Limits *limit.Limits
	// Refused remembers what is refused; may be nil. Reconfigure ignores it.
	Refused *refusals.Log
}

func (o Options) withDefaults() Options {
	o.Queue = cmp.Or(o.Queue, ws.Limits{Frames: 4096, Bytes: 1 << 20})
	o.MaxGroups = cmp.Or(o.MaxGroups, 128)
	if o.Limits == nil {
		o.Limits = limit.New(limit.Settings{}, nil, prometheus.NewRegistry())
	}
	return o
}

// Sessions number the members of this edge, and show them to operators;
// *session.Server in production.
type Sessions interface {
	AddStream(one session.Stream) (id uint32)
	RemoveStream(id uint32)
}

// Server serves streams and long polls.
type Server struct {
	opts     Options
	queue    atomic.Pointer[ws.Limits]
	rooms    *room.Registry
	sessions Sessions
	flusher  *ws.Flusher
	log      *slog.Logger
	ends     *prometheus.CounterVec

	mu      sync.Mutex
	closed  bool
	open    map[*connection]struct{}
	running sync.WaitGroup
}

// New returns a Server. It serves at once.
func New(opts Options, rooms *room.Registry, sessions Sessions, log *slog.Logger, reg prometheus.Registerer) *Server {
	s := &Server{
		opts: opts.withDefaults(), rooms: rooms, sessions: sessions, log: log,
		flusher: ws.NewFlusher(prometheus.NewRegistry()), // its figures are those of WebSockets
		open:    make(map[*connection]struct{}),
	}
	s.Reconfigure(opts)
	in := metric.In(reg)
	in.GaugeFunc("gotapi_edge_streams_under_way", "Event streams and long polls under way.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.open))
	})
	s.ends = in.Counters("gotapi_edge_stream_ends_total", "Event streams and long polls that ended, by code; 0: the server did not end them.", "code")
	for _, code := range []string{"0", "401", "429", "503"} {
		s.ends.WithLabelValues(code)
	}
	return s
}

// Reconfigure uses opts for the streams that come from now on.
func (s *Server) Reconfigure(opts Options) {
	queue := opts.withDefaults().Queue
	s.queue.Store(&queue)
}

// admit returns a connection for r, a request of that caller, which must be ended; or why
// there is none.
func (s *Server) admit(r *http.Request, by *access.Identity, dialect room.Dialect) (*connection, *header.Refusal) {
	limits := s.opts.Limits.Connect(r, by.Name())
	if limits == nil {
		return nil, &header.Refusal{
			Code: http.StatusTooManyRequests, Msg: limit.TooManyConnections, RetryAfter: limit.RetryConnections.Milliseconds(),
		}
	}
	c := &connection{
		server: s, by: by, limits: limits, address: s.opts.Limits.Address(r), began: time.Now(),
		out: ws.NewOutbox(*s.queue.Load(), s.flusher), ended: make(chan struct{}),
	}
	c.out.EndWith(c.last)
	c.options = room.ConnOptions{Client: limits.Key(), Dialect: dialect, Out: c.out, Left: c.left}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		limits.Release()
		return nil, &header.Refusal{Code: errGoingDown.Code, Msg: errGoingDown.Reason}
	}
	s.open[c] = struct{}{}
	s.running.Add(1)
	return c, nil
}

// forget counts a connection out.
func (s *Server) forget(c *connection) {
	c.limits.Release()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.running.Done()
}

// Drain admits nothing more and ends the streams, spread over a time so that their clients
// do not come back all at once. It returns when all have ended, or ctx ends.
func (s *Server) Drain(ctx context.Context, over time.Duration) {
	s.mu.Lock()
	s.closed = true
	all := make([]*connection, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	s.mu.Unlock()
	backoff.Spread(ctx, over, all, func(c *connection) { c.out.Close(errGoingDown) })
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		s.flusher.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
