// Package relayserver serves gotapi.relay.v1.RelayService: the streams of edges.
// It checks and converts what edges send, bounds what waits for each of them, and
// leaves the rest to the store and to the feed.
package relayserver

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Options are the settings of a Server.
type Options struct {
	// Bytes that may wait for one edge. Beyond that, stored events wait in the
	// store and others are dropped.
	QueueBytes int
	// Settings of single groups; nil: there are none.
	Groups *groupsettings.File
	// Makes spans of publications that are traced; nil: none.
	Tracer trace.Tracer
	// Of this program, and where it listens; sent to edges.
	Version, Commit, Host string
	// Alarms returns the alarms of this process; nil: unknown.
	Alarms func() []alarm.Alarm
}

// Server implements gotapi.relay.v1.RelayService.
type Server struct {
	relayv1.UnimplementedRelayServiceServer

	store    history.Log
	presence history.Presence
	hub      *feed.Hub
	opts     Options
	log      *slog.Logger
	metrics  *metrics
	drain    *rpc.Drain
	fleet    *fleet
	// The goroutines of streams, which may outlive their handler for a moment.
	tasks sync.WaitGroup
}

// New returns a Server.
func New(store history.Log, presence history.Presence, hub *feed.Hub, opts Options, log *slog.Logger, reg prometheus.Registerer) *Server {
	f := newFleet()
	return &Server{
		store: store, presence: presence, hub: hub, opts: opts, log: log,
		metrics: newMetrics(reg, f), drain: rpc.NewDrain(), fleet: f,
	}
}

// Drain ends every stream as soon as the publishes received on it have their
// results, and new streams at once. Edges go on elsewhere.
func (s *Server) Drain() { s.drain.Begin() }

// Wait waits for the goroutines of streams. It is called after the gRPC server has
// stopped.
func (s *Server) Wait() { s.tasks.Wait() }

// Connect implements relayv1.RelayServiceServer.
func (s *Server) Connect(stream relayv1.RelayService_ConnectServer) error {
	if s.drain.Begun() {
		// An edge in this process gets here even when the gRPC server has stopped.
		// Wait must know every goroutine.
		return nil
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	p := newPeer(s, stream)
	s.fleet.begin(p)
	defer s.fleet.end(p)
	return p.serve()
}

// Heartbeat implements relayv1.RelayServiceServer.
func (s *Server) Heartbeat(_ context.Context, r *relayv1.HeartbeatRequest) (*relayv1.HeartbeatResponse, error) {
	answer := &relayv1.HeartbeatResponse{
		Streams: uint32(s.fleet.count()), Version: s.opts.Version, Commit: s.opts.Commit, Host: s.opts.Host,
	}
	if r.GetEdges() {
		answer.Edges = s.fleet.edges()
		for _, a := range s.Alarms() {
			answer.Alarms = append(answer.Alarms, &relayv1.Alarm{Name: a.Name, Text: a.Text})
		}
	}
	return answer, nil
}

// Host is where this service listens, for people.
func (s *Server) Host() string { return s.opts.Host }

// Edges returns the edges that have streams here, with their alarms; at most 1000.
func (s *Server) Edges() []*relayv1.Edge { return s.fleet.edges() }

// Alarms returns the alarms of this service itself.
func (s *Server) Alarms() []alarm.Alarm {
	all := s.fleet.alarms(time.Now())
	if s.opts.Alarms != nil {
		all = append(all, s.opts.Alarms()...)
	}
	return alarm.Of("history service "+s.opts.Host, all...)
}

// Recall implements relayv1.RelayServiceServer.
func (s *Server) Recall(ctx context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
	g, err := rpc.ParseGroupField("group", r.GetGroup())
	if err != nil {
		return nil, err
	}
	if err := rpc.CheckUUID("uuid", r.GetUuid()); err != nil {
		return nil, err
	}
	author, ok := rpc.ParseAuthor(r.GetAuthor())
	if !ok {
		return nil, rpc.BadField("author", "must be 8 bytes, or none")
	}
	if author != nil && *author == (history.Author{}) {
		return nil, rpc.Status(ctx, s.log, history.ErrNotAuthor) // nobody has no messages
	}
	limit := history.Limit{Author: author, Within: milliseconds(r.GetWithinMs())}
	if r.GetWindowed() {
		limit.Within = groupsettings.Or(s.opts.Groups.Of(g).RecallWindow, limit.Within)
	}
	if err := s.store.Recall(ctx, g, r.GetUuid(), limit, rpc.ParseName(r.GetBy())); err != nil {
		return nil, rpc.Status(ctx, s.log, err)
	}
	return &relayv1.RecallResponse{}, nil
}

// milliseconds returns a duration of at most rpc.MaxTTL.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(rpc.MaxTTL/time.Millisecond))) * time.Millisecond
}

// Read implements relayv1.RelayServiceServer.
func (s *Server) Read(ctx context.Context, r *relayv1.ReadRequest) (*relayv1.ReadResponse, error) {
	g, err := rpc.ParseGroupField("group", r.GetGroup())
	if err != nil {
		return nil, err
	}
	if err := rpc.CheckOptionalUUID("after_uuid", r.GetAfterUuid()); err != nil {
		return nil, err
	}
	batch, err := s.store.Read(ctx, g, startOf(r))
	if err != nil {
		return nil, rpc.Status(ctx, s.log, err)
	}
	return &relayv1.ReadResponse{
		Epoch:    uint64(batch.Epoch),
		Events:   relayEvents(batch.Events),
		Position: relayPosition(batch.Position),
		Gap:      batch.Gap,
		More:     batch.More,
	}, nil
}

// Messages implements relayv1.RelayServiceServer.
func (s *Server) Messages(ctx context.Context, r *relayv1.MessagesRequest) (*relayv1.MessagesResponse, error) {
	g, err := rpc.ParseGroupField("group", r.GetGroup())
	if err != nil {
		return nil, err
	}
	q := history.Query{Size: int(r.GetSize()), MaxBytes: int(r.GetMaxBytes()), Meta: true}
	switch start := r.GetStart().(type) {
	case *relayv1.MessagesRequest_After:
		q.Seq, q.Newer = &start.After, true
	case *relayv1.MessagesRequest_Before:
		q.Seq = &start.Before
	default:
		newest := uint64(math.MaxUint64)
		q.Seq = &newest
	}
	switch {
	case q.Size < 1 || q.Size > history.MaxPageSize:
		return nil, rpc.BadField("size", "must be 1 to 10000")
	case q.MaxBytes < 1 || q.MaxBytes > history.MaxPageBytes:
		return nil, rpc.BadField("max_bytes", "must be 1 to 8388608")
	}
	page, err := s.store.Page(ctx, g, q)
	if err != nil {
		return nil, rpc.Status(ctx, s.log, err)
	}
	events := make([]stream.Event, len(page.Texts))
	for i, text := range page.Texts {
		m := &page.Meta[i]
		events[i] = stream.Event{Kind: stream.Message, Seq: m.Seq, At: m.At, By: m.By, Payload: []byte(text)}
	}
	return &relayv1.MessagesResponse{Events: relayEvents(events), More: page.More}, nil
}

// startOf returns where a request begins.
func startOf(r *relayv1.ReadRequest) history.Start {
	start := history.Start{
		Newest:    int(min(r.GetNewest(), math.MaxInt32)),
		AfterUUID: r.GetAfterUuid(),
		After:     rpc.ParsePosition(r.GetAfter()),
	}
	if r.NewestIfLost != nil {
		start.IfLost = history.FromNewest(r.GetNewestIfLost())
	}
	return start
}
