// Package historyapi serves gotapi.history.v1.HistoryService, the public API, to
// internal services and to the edges' REST interface. It checks requests and the
// caller's rights, converts, and leaves the rest to the store and to the feed.
package historyapi

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/internal/ratelimit"
	"github.com/gotapi/gotapi-ws/internal/semaphore"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Bounds of the pages that are read at one time, each of up to 8 MiB, and of those
// that wait for that, in total and of one group. Groups take turns.
const (
	maxPageReads    = 8
	maxWaitingPages = 2048
	maxGroupPages   = 512
)

// Options are the settings of a Service.
type Options struct {
	// Largest packet that Publish takes, bytes.
	MaxMessageBytes int
	// Settings of single groups; nil: there are none.
	Groups *groupsettings.File
	// Hooks before and after Publish; may be nil.
	Hooks *hooks.Hooks
	// Makes spans of publications that are traced; nil: none.
	Tracer trace.Tracer
}

// Service implements gotapi.history.v1.HistoryService.
type Service struct {
	historyv1.UnimplementedHistoryServiceServer

	store    history.Log
	presence history.Presence
	hub      *feed.Hub
	opts     Options
	log      *slog.Logger
	drain    *rpc.Drain
	// Of messages into single groups.
	limits *ratelimit.Keyed
	// Bounds the pages that are being read.
	pageReads *semaphore.Fair
	// Bounds the bytes of pages until their callers have taken them, and the calls that
	// wait for some of these bytes.
	pages, pageQueue *quota.Share
	// Bounds the bytes of watches, and of batches.
	watches, batches *quota.Share

	// This process as a publisher, and the number of its last publish.
	edge      uint64
	published atomic.Uint64
}

// New returns a Service.
func New(store history.Log, presence history.Presence, hub *feed.Hub, opts Options, log *slog.Logger) *Service {
	return &Service{
		store: store, presence: presence, hub: hub, opts: opts, log: log,
		drain: rpc.NewDrain(), limits: ratelimit.NewKeyed(), pageReads: semaphore.New(maxPageReads, maxWaitingPages, maxGroupPages, history.ErrBusy),
		pages: quota.NewShare(quota.MemoryLimit() / pagesPart), pageQueue: quota.NewShare(maxWaitingPages),
		watches: quota.NewShare(quota.MemoryLimit() / watchesPart), batches: quota.NewShare(quota.MemoryLimit() / batchesPart),
		edge: newEdgeID(),
	}
}

// newEdgeID returns a random id for a process that publishes; 0 means none.
func newEdgeID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// Drain ends all watches, now and from now on. Other calls are served.
func (s *Service) Drain() { s.drain.Begin() }

// status returns the gRPC status of an error.
func (s *Service) status(ctx context.Context, err error) error { return rpc.Status(ctx, s.log, err) }

// mayDo checks a right of the caller.
func mayDo(ctx context.Context, a access.Action, g group.Name) error {
	return grpcstatus.Of(access.FromContext(ctx).May(a, g))
}

// recallLimit returns which messages of a group the caller may recall.
func (s *Service) recallLimit(ctx context.Context, g group.Name) (history.Limit, error) {
	l, err := access.FromContext(ctx).Recall(g)
	if err != nil {
		return history.Limit{}, grpcstatus.Of(err)
	}
	limit := history.Limit{Within: l.Within}
	if l.Windowed {
		limit.Within = groupsettings.Or(s.opts.Groups.Of(g).RecallWindow, l.Within)
	}
	if l.Author != nil {
		limit.Author = (*history.Author)(l.Author)
	}
	return limit, nil
}
