// Package feed makes live streams of groups from a store that can be read and a
// bus that may lose anything.
//
// A Hub holds one bus subscription for each group that has followers. Each
// Follower keeps a position in its group's stream and has one rule: it passes on
// an event that follows its position. Four things make it catch up instead: an
// event that does not follow, a new subscription, a message that was stored here
// but did not arrive, and a head of the stream that it does not reach. To catch
// up, it reads the store after its position and passes on what it finds, while
// live events wait in a bounded buffer. Then it passes on the buffer and is live
// again.
//
// So a sink gets the stored events in the order of the store, each once, without
// a hole. If the store no longer has what comes next (it was trimmed, it expired,
// Redis lost it), the sink gets a gap. Then the follower continues at the head of
// the stream and does not replay the retained messages: after a gap, a client reads
// the history anyway and would get everything twice. A member that resumes after a
// uuid needs that replay; history.Log.Read serves it, not a follower.
//
// Packets that are not stored are passed on as they come, at most once.
package feed

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// How often the heads of all followed groups are compared. A follower that is
	// at the same position behind the head at two polls in a row catches up, so
	// the lost last message of an idle group is found after two polls at most.
	pollEvery = 750 * time.Millisecond
	// Groups whose heads are read in one call.
	headsPerCall = 1000
	// Workers that read the heads of many followers in one call. While they do,
	// the next followers gather.
	headWorkers = 2
	// Workers that call the store for one follower at a time.
	readWorkers = 32
	// How long one call of the store may take.
	callTimeout = 3 * time.Second
)

// Hub follows groups on behalf of many followers. It is the bus's Listener.
// Its methods are safe for concurrent use, before and during Run.
//
// Locks are taken in this order: Hub.mu, topic.mu, and then those of queues and
// sinks.
type Hub struct {
	store   history.Log
	bus     history.Bus
	log     *slog.Logger
	metrics *metrics

	// Followers that compare their position with the head, and followers that
	// read the store. Each follower is at most once in one of them.
	heads, reads *queue
	expectations *expectations
	// Bytes in the buffers of all followers.
	buffered atomic.Int64
	// When a failure of the store was last logged, Unix nanoseconds.
	lastFailure atomic.Int64
	// Holds a token when subscriptions may be out of step with topics.
	resubscribe chan struct{}

	mu sync.RWMutex
	// Groups that have followers.
	topics map[group.Name]*topic
	// Groups that the bus was asked to subscribe, and whether it has.
	held map[group.Name]bool
	// Groups that got their first follower or lost their last one.
	changed map[group.Name]struct{}
}

var _ history.Listener = (*Hub)(nil)

// New returns a Hub. It does nothing before Run.
func New(store history.Log, bus history.Bus, log *slog.Logger, reg prometheus.Registerer) *Hub {
	h := &Hub{
		store:        store,
		bus:          bus,
		log:          log,
		metrics:      newMetrics(reg),
		heads:        newQueue(headWorkers),
		reads:        newQueue(readWorkers),
		expectations: newExpectations(),
		resubscribe:  make(chan struct{}, 1),
		topics:       make(map[group.Name]*topic),
		held:         make(map[group.Name]bool),
		changed:      make(map[group.Name]struct{}),
	}
	h.registerDepths(reg)
	return h
}

// Run serves the followers until ctx ends. After that none of them starts or
// catches up.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { h.keepSubscribed(ctx) })
	parts.Go(func() { h.keepPolling(ctx) })
	parts.Go(func() { h.expectations.run(ctx) })
	for range headWorkers {
		parts.Go(func() { h.serveHeads(ctx) })
	}
	for range readWorkers {
		parts.Go(func() { h.serveReads(ctx) })
	}
	parts.Wait()
	return nil
}

// NewFollower returns a follower of g. It does nothing before Begin.
func (h *Hub) NewFollower(g group.Name, start Start) *Follower {
	return &Follower{hub: h, group: g, start: start}
}

// insert puts f into its topic; the first follower makes the topic.
func (h *Hub) insert(f *Follower) {
	h.mu.Lock()
	t := h.topics[f.group]
	if t == nil {
		t = &topic{group: f.group}
		h.topics[f.group] = t
		h.change(f.group)
	}
	t.mu.Lock() // before Hub.mu is unlocked, so that the topic is not removed meanwhile
	defer t.mu.Unlock()
	h.mu.Unlock()
	h.metrics.followers.Inc()
	f.topic = t
	t.followers = append(t.followers, f)
	if t.confirmed {
		f.open()
	}
}

// remove takes f out of its topic; the last follower removes the topic.
func (h *Hub) remove(f *Follower) {
	t := f.topic
	h.mu.Lock()
	defer h.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.remove(f) {
		return
	}
	f.end()
	h.metrics.followers.Dec()
	if len(t.followers) == 0 {
		delete(h.topics, t.group)
		h.change(t.group)
	}
}

// Subscribed implements history.Listener.
func (h *Hub) Subscribed(g group.Name) {
	h.mu.Lock()
	if _, ok := h.held[g]; ok {
		h.held[g] = true
	}
	t := h.topics[g]
	h.mu.Unlock()
	if t != nil {
		t.subscribed()
	}
}

// Heard implements history.Listener.
func (h *Hub) Heard(g group.Name, epoch stream.Epoch, events []stream.Event) {
	if t := h.topic(g); t != nil {
		t.receive(epoch, events)
	}
}

// Expect notes that a message was stored. If it does not reach the followers of
// the group soon, they catch up.
func (h *Hub) Expect(g group.Name, epoch stream.Epoch, seq uint64) {
	if t := h.topic(g); t != nil {
		h.expectations.add(t, messageID{epoch, seq})
	}
}

// topic returns nil if g has no followers.
func (h *Hub) topic(g group.Name) *topic {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.topics[g]
}

// allTopics returns the topics there are now.
func (h *Hub) allTopics() []*topic {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.topics))
}
