package relayserver

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// presenceTimeout bounds one call of history.Presence.
const presenceTimeout = 3 * time.Second

// presenceWriter writes an edge's member counts to history.Presence. Updates that
// come during a call are merged, so at most one for each group waits.
type presenceWriter struct {
	presence history.Presence
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex
	edge    uint64
	waiting *counts
	left    bool
}

// counts are member counts of groups; full if other groups have none.
type counts struct {
	full    bool
	members map[group.Name]uint32
}

func newPresenceWriter(p history.Presence, log *slog.Logger) *presenceWriter {
	return &presenceWriter{presence: p, log: log, wake: make(chan struct{}, 1)}
}

// update takes an edge's message. Even an empty one keeps earlier counts from
// expiring.
func (w *presenceWriter) update(edge uint64, p *relayv1.Presence) {
	next := &counts{full: p.GetFull(), members: make(map[group.Name]uint32, len(p.GetMembers()))}
	for name, n := range p.GetMembers() {
		next.members[group.Name(name)] = n
	}
	w.mu.Lock()
	w.edge = edge
	w.waiting = merge(w.waiting, next)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// merge makes one of two counts, either of which may be nil. It may change them.
func merge(older, newer *counts) *counts {
	if newer == nil {
		return older
	}
	if older == nil || newer.full {
		return newer
	}
	maps.Copy(older.members, newer.members)
	return older
}

// leave notes that the edge has ended its stream in order: it has no members any
// more.
func (w *presenceWriter) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = true
}

// run writes until ctx ends.
func (w *presenceWriter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			w.remove(ctx)
			return
		case <-w.wake:
		}
		w.write(ctx)
	}
}

// write writes what waits. After a failure it waits for the next update, which
// comes soon.
func (w *presenceWriter) write(ctx context.Context) {
	w.mu.Lock()
	edge, now := w.edge, w.waiting
	w.waiting = nil
	w.mu.Unlock()
	if now == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, presenceTimeout)
	defer cancel()
	if err := w.presence.Report(ctx, edge, now.full, now.members); err != nil {
		w.log.DebugContext(ctx, "writing member counts failed", "error", err)
		w.mu.Lock()
		w.waiting = merge(now, w.waiting)
		w.mu.Unlock()
	}
}

// remove removes the edge if it has left.
func (w *presenceWriter) remove(ctx context.Context) {
	w.mu.Lock()
	edge, left := w.edge, w.left
	w.mu.Unlock()
	if !left || edge == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), presenceTimeout)
	defer cancel()
	if err := w.presence.Leave(ctx, edge); err != nil {
		w.log.DebugContext(ctx, "removing an edge's member counts failed, they will expire", "error", err)
	}
}
