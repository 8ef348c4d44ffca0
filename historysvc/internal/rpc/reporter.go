package rpc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// reportTimeout bounds one call of Presence.
const reportTimeout = 3 * time.Second

// reporter passes an edge's member counts on to Presence. Reports that come
// while one is on its way are merged, so at most one for each group waits.
type reporter struct {
	presence history.Presence
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex
	edge    uint64
	waiting *report
	left    bool
}

type report struct {
	full    bool
	members map[group.Name]uint32
}

func newReporter(p history.Presence, log *slog.Logger) *reporter {
	return &reporter{presence: p, log: log, wake: make(chan struct{}, 1)}
}

// report takes what an edge sent; even an empty one keeps earlier ones alive.
func (r *reporter) report(edge uint64, p *relayv1.Presence) {
	next := &report{full: p.GetFull(), members: make(map[group.Name]uint32, len(p.GetMembers()))}
	for name, n := range p.GetMembers() {
		next.members[group.Name(name)] = n
	}
	r.mu.Lock()
	r.edge = edge
	r.waiting = merge(r.waiting, next)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// merge makes one report of two; it may change them.
func merge(older, newer *report) *report {
	if older == nil || newer == nil || newer.full {
		if newer == nil {
			return older
		}
		return newer
	}
	for g, n := range newer.members {
		older.members[g] = n
	}
	return older
}

// leave says that the edge has ended its stream well: it is gone.
func (r *reporter) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = true
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			r.sayLeft(ctx)
			return
		case <-r.wake:
		}
		r.send(ctx)
	}
}

// send reports what waits. What fails waits for the next report, which comes in
// a moment.
func (r *reporter) send(ctx context.Context) {
	r.mu.Lock()
	edge, now := r.edge, r.waiting
	r.waiting = nil
	r.mu.Unlock()
	if now == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := r.presence.Report(ctx, edge, now.full, now.members); err != nil {
		r.log.DebugContext(ctx, "member counts cannot be reported", "error", err)
		r.mu.Lock()
		r.waiting = merge(now, r.waiting)
		r.mu.Unlock()
	}
}

func (r *reporter) sayLeft(ctx context.Context) {
	r.mu.Lock()
	edge, left := r.edge, r.left
	r.mu.Unlock()
	if !left || edge == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
	defer cancel()
	if err := r.presence.Leave(ctx, edge); err != nil {
		r.log.DebugContext(ctx, "an edge that left is still counted for a moment", "error", err)
	}
}
