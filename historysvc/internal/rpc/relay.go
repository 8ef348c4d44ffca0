package rpc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// RelayOptions are the settings of a Relay.
type RelayOptions struct {
	// Bytes that may wait for one edge. Beyond that, stored events wait in the
	// store and others are dropped.
	QueueBytes int
	// Makes spans of publications that are traced; nil: none.
	Tracer trace.Tracer
}

// Relay implements gotapi.relay.v1.RelayService.
type Relay struct {
	relayv1.UnimplementedRelayServiceServer

	store    history.Log
	presence history.Presence
	hub      *feed.Hub
	opts     RelayOptions
	log      *slog.Logger
	metrics  *relayMetrics
	drain    drain
	// The goroutines of streams, which may outlive their handler for a moment.
	tasks sync.WaitGroup
}

// NewRelay makes a Relay.
func NewRelay(store history.Log, presence history.Presence, hub *feed.Hub, opts RelayOptions, log *slog.Logger, reg prometheus.Registerer) *Relay {
	return &Relay{
		store: store, presence: presence, hub: hub, opts: opts, log: log,
		metrics: newRelayMetrics(reg), drain: newDrain(),
	}
}

// Drain makes every stream end as soon as the publishes that were received on
// it are answered, and new ones at once. Edges go on elsewhere.
func (s *Relay) Drain() { s.drain.begin() }

// Wait waits for what streams left behind. It is called when the gRPC server
// has stopped.
func (s *Relay) Wait() { s.tasks.Wait() }

// Connect implements relayv1.RelayServiceServer.
func (s *Relay) Connect(stream relayv1.RelayService_ConnectServer) error {
	if s.drain.begun() {
		// An edge in this process needs no server to get here: nothing may begin
		// that Wait does not know of.
		return nil
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	return newPeer(s, stream).serve()
}

// Recall implements relayv1.RelayServiceServer.
func (s *Relay) Recall(ctx context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
	g, err := groupOf(r.GetGroup())
	if err != nil {
		return nil, err
	}
	if u := r.GetUuid(); u == "" || len(u) > packet.MaxUUID {
		return nil, badField("uuid", uuidRule)
	}
	author, ok := authorOf(r.GetAuthor())
	if !ok {
		return nil, badField("author", "must be 8 bytes, or none")
	}
	if author != nil && *author == (history.Author{}) {
		return nil, statusOf(ctx, s.log, history.ErrNotAuthor) // nobody has no messages
	}
	limit := history.Limit{Author: author, Within: milliseconds(r.GetWithinMs())}
	if err := s.store.Recall(ctx, g, r.GetUuid(), limit); err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	return &relayv1.RecallResponse{}, nil
}

// milliseconds saturates: what is longer than 100 years is as good as that.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(maxTTL/time.Millisecond))) * time.Millisecond
}

// authorOf is nil for no bytes; ok is false unless there are 8.
func authorOf(b []byte) (a *history.Author, ok bool) {
	switch len(b) {
	case 0:
		return nil, true
	case len(history.Author{}):
		return (*history.Author)(b), true
	}
	return nil, false
}

// Read implements relayv1.RelayServiceServer.
func (s *Relay) Read(ctx context.Context, r *relayv1.ReadRequest) (*relayv1.ReadResponse, error) {
	g, err := groupOf(r.GetGroup())
	if err != nil {
		return nil, err
	}
	if len(r.GetAfterUuid()) > packet.MaxUUID {
		return nil, badField("after_uuid", uuidRule)
	}
	batch, err := s.store.Read(ctx, g, history.Start{AfterUUID: r.GetAfterUuid(), After: toPosition(r.GetAfter())})
	if err != nil {
		return nil, statusOf(ctx, s.log, err)
	}
	// Only the reader knows what earlier pages held; within this one, we do.
	var skips stream.Skips
	for i := range batch.Events {
		skips.Mark(&batch.Events[i])
	}
	return &relayv1.ReadResponse{
		Epoch:    uint64(batch.Epoch),
		Events:   relayEvents(batch.Events),
		Position: relayPosition(batch.Position),
		Gap:      batch.Gap,
		More:     batch.More,
	}, nil
}
