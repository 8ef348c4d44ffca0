package redisstore

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// In a Cluster: how often the bus looks where its groups are, unasked, and how
// long it lets the client learn of a change when it has reason to.
const (
	rehomeEvery = 5 * time.Second
	rehomeSoon  = 200 * time.Millisecond
)

// bus holds the subscriptions: over one connection, or in a Cluster over one
// per master, each with the groups whose slots that master has.
type bus struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // nil unless it is one
	log     *slog.Logger
	stats   *metrics

	// Holds a token when homeless or moved has changed.
	wake chan struct{}

	mu sync.RWMutex
	// The groups that are subscribed to, each with the connection that it is
	// on; nil while that must be found.
	wanted map[group.Name]*subscriber
	// Those that have none.
	homeless map[group.Name]struct{}
	// Groups may not be where they were.
	moved bool

	// Calls of the listener for one group come one after another, also while
	// the group goes from one connection to another.
	turns [64]sync.Mutex
}

func newBus(client redis.UniversalClient, cluster bool, log *slog.Logger, m *metrics) *bus {
	b := &bus{
		client: client, log: log, stats: m,
		wake:     make(chan struct{}, 1),
		wanted:   make(map[group.Name]*subscriber),
		homeless: make(map[group.Name]struct{}),
	}
	if cluster {
		b.cluster, _ = client.(*redis.ClusterClient)
	}
	return b
}

// Subscribe implements history.Bus.
func (s *Store) Subscribe(groups ...group.Name) { s.bus.subscribe(groups) }

// Unsubscribe implements history.Bus.
func (s *Store) Unsubscribe(groups ...group.Name) { s.bus.unsubscribe(groups) }

func (b *bus) subscribe(groups []group.Name) {
	b.mu.Lock()
	for _, g := range groups {
		if _, ok := b.wanted[g]; !ok {
			b.wanted[g] = nil
			b.homeless[g] = struct{}{}
		}
	}
	b.mu.Unlock()
	b.signal()
}

func (b *bus) unsubscribe(groups []group.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range groups {
		if s := b.wanted[g]; s != nil {
			s.change(g, false)
		}
		delete(b.wanted, g)
		delete(b.homeless, g)
	}
}

func (b *bus) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run keeps each group on the connection where it belongs, until ctx ends.
func (b *bus) run(ctx context.Context, l history.Listener) {
	if b.cluster != nil {
		b.runCluster(ctx, l)
		return
	}
	s := newSubscriber(b, l, func(ctx context.Context) *redis.PubSub { return b.client.Subscribe(ctx) })
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	defer running.Wait()
	for {
		b.mu.Lock()
		for g := range b.homeless {
			b.house(g, s)
		}
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
	}
}

// house puts a group on a connection. b.mu is held.
func (b *bus) house(g group.Name, s *subscriber) {
	delete(b.homeless, g)
	b.wanted[g] = s
	s.change(g, true)
}

// evict takes a group off its connection: a new one must be found. b.mu is held.
func (b *bus) evict(g group.Name) {
	if s := b.wanted[g]; s != nil {
		s.change(g, false)
	}
	b.wanted[g] = nil
	b.homeless[g] = struct{}{}
}

// confirmed says that s hears g from now on.
func (b *bus) confirmed(s *subscriber, l history.Listener, g group.Name) {
	b.inTurn(s, g, func() { l.Subscribed(g) })
}

// ended says that s does not hear g any more. Where nobody asked for that, the
// group's slot has moved to another master.
func (b *bus) ended(s *subscriber, g group.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cluster == nil || b.wanted[g] != s {
		return
	}
	b.evict(g)
	b.moved = true
	b.signal()
}

// slotMoved says that s was told that a slot belongs to another master.
func (b *bus) slotMoved(s *subscriber, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g, at := range b.wanted {
		if at == s && slot(g) == n {
			b.evict(g)
		}
	}
	b.moved = true
	b.signal()
}

// disturbed says that a connection was lost: its master may be no more.
func (b *bus) disturbed() {
	b.mu.Lock()
	b.moved = true
	b.mu.Unlock()
	b.signal()
}

// heard hands a bus message on.
func (b *bus) heard(s *subscriber, l history.Listener, g group.Name, payload string) {
	epoch, events, err := decodePayload([]byte(payload))
	if err != nil {
		b.stats.malformed.Inc()
		b.log.Warn("malformed bus message", "group", g, "bytes", len(payload))
		return
	}
	if len(events) > 0 {
		b.inTurn(s, g, func() { l.Heard(g, epoch, events) })
	}
}

// inTurn calls f unless g is not (any more) on s.
func (b *bus) inTurn(s *subscriber, g group.Name, f func()) {
	turn := &b.turns[slot(g)%len(b.turns)]
	turn.Lock()
	defer turn.Unlock()
	b.mu.RLock()
	mine := b.wanted[g] == s
	b.mu.RUnlock()
	if mine {
		f()
	}
}
