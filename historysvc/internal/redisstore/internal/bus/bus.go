// Package bus carries what happens in groups from all history services to each, by
// pub/sub of Redis: over one connection, or in a Cluster, where channels are
// sharded, over one connection per master.
package bus

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Bus implements Subscribe and Unsubscribe of history.Bus. Its methods are safe
// for concurrent use.
type Bus struct {
	conn  *redisconn.Conn
	log   *slog.Logger
	stats *metrics

	// Holds a token when unassigned or moved has changed.
	wake chan struct{}

	mu sync.RWMutex
	// The groups that are subscribed to, each with its connection; nil while that
	// must be found.
	groups map[group.Name]*subscriber
	// Those without a connection.
	unassigned map[group.Name]struct{}
	// In a Cluster, groups may not be where they were.
	moved bool

	// Calls of the listener for one group come one after another, also while the
	// group goes from one connection to another. Each lock is for many groups.
	locks [64]sync.Mutex
}

type metrics struct{ resubscribed, malformed prometheus.Counter }

// New makes a Bus.
func New(conn *redisconn.Conn, log *slog.Logger, reg prometheus.Registerer) *Bus {
	in := metric.In(reg)
	return &Bus{
		conn: conn, log: log,
		stats: &metrics{
			resubscribed: in.Counter("gotapi_history_bus_reconnects_total", "Subscription connections that were reopened."),
			malformed:    in.Counter("gotapi_history_bus_malformed_total", "Bus messages that could not be decoded."),
		},
		wake:       make(chan struct{}, 1),
		groups:     make(map[group.Name]*subscriber),
		unassigned: make(map[group.Name]struct{}),
	}
}

// Subscribe implements history.Bus.
func (b *Bus) Subscribe(groups ...group.Name) {
	b.mu.Lock()
	for _, g := range groups {
		if _, ok := b.groups[g]; !ok {
			b.groups[g] = nil
			b.unassigned[g] = struct{}{}
		}
	}
	b.mu.Unlock()
	b.signal()
}

// Unsubscribe implements history.Bus.
func (b *Bus) Unsubscribe(groups ...group.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range groups {
		if s := b.groups[g]; s != nil {
			s.change(g, false)
		}
		delete(b.groups, g)
		delete(b.unassigned, g)
	}
}

func (b *Bus) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run keeps each group subscribed on the right connection until ctx ends, and passes events
// to l.
func (b *Bus) Run(ctx context.Context, l history.Listener) {
	if client, ok := b.conn.Client().(*redis.ClusterClient); ok {
		newCluster(b, client, l).run(ctx)
		return
	}
	s := newSubscriber(b, l, b.conn.Client().Subscribe)
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	defer running.Wait()
	for {
		b.mu.Lock()
		for g := range b.unassigned {
			b.assign(g, s)
		}
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
	}
}

// assign puts a group on a connection. b.mu is held.
func (b *Bus) assign(g group.Name, s *subscriber) {
	delete(b.unassigned, g)
	b.groups[g] = s
	s.change(g, true)
}

// unassign takes a group off its connection: a new one must be found. b.mu is held.
func (b *Bus) unassign(g group.Name) {
	if s := b.groups[g]; s != nil {
		s.change(g, false)
	}
	b.groups[g] = nil
	b.unassigned[g] = struct{}{}
}

// subscribed tells the listener that s is subscribed to g from now on.
func (b *Bus) subscribed(s *subscriber, g group.Name) {
	b.deliver(s, g, func() { s.listener.Subscribed(g) })
}

// unsubscribed notes that s is no longer subscribed to g. If nobody asked for that, the
// group's slot has moved to another master.
func (b *Bus) unsubscribed(s *subscriber, g group.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.sharded || b.groups[g] != s {
		return
	}
	b.unassign(g)
	b.moved = true
	b.signal()
}

// slotMoved notes that a slot of s belongs to another master.
func (b *Bus) slotMoved(s *subscriber, slot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g, at := range b.groups {
		if at == s && layout.Slot(g) == slot {
			b.unassign(g)
		}
	}
	b.moved = true
	b.signal()
}

// mayHaveMoved notes that a connection was lost: its master may be no more.
func (b *Bus) mayHaveMoved() {
	b.mu.Lock()
	b.moved = true
	b.mu.Unlock()
	b.signal()
}

// received passes a message of the bus on to the listener.
func (b *Bus) received(s *subscriber, g group.Name, payload string) {
	epoch, events, err := layout.DecodePayload([]byte(payload))
	if err != nil {
		b.stats.malformed.Inc()
		b.log.Warn("malformed bus message", "group", g, "bytes", len(payload))
		return
	}
	if len(events) > 0 {
		b.deliver(s, g, func() { s.listener.Heard(g, epoch, events) })
	}
}

// deliver calls f unless g is not (any more) on s.
func (b *Bus) deliver(s *subscriber, g group.Name, f func()) {
	lock := &b.locks[layout.Slot(g)%len(b.locks)]
	lock.Lock()
	defer lock.Unlock()
	b.mu.RLock()
	assigned := b.groups[g] == s
	b.mu.RUnlock()
	if assigned {
		f()
	}
}
