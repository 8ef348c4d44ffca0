// Package feed makes live streams of groups out of a store that can be read
// and a bus that may lose anything.
//
// A Hub holds one bus subscription for each group that somebody follows. Each
// Follower keeps a position in its group's stream and has one rule: an event
// is passed on if it follows that position. An event that does not, a
// subscription that had to be made anew, an append that was accepted here but
// not heard, and a head of the stream behind which the follower stands still
// all lead to the same thing: a catch-up. It reads the store after the
// position and passes on what it finds, while live events wait in a bounded
// buffer; then it goes through the buffer, and the follower is live again.
//
// So the stored events that a sink gets are those of the store, in its order,
// each once, without a hole. Where the store itself no longer has what comes
// next (it was trimmed, it expired, Redis lost it), the sink is told of the
// gap. Then the follower goes on at the head of the stream and does not replay
// what is retained: whoever is told of a gap must read the history anyway, and
// would get everything twice. A member that resumes after a uuid needs that
// replay; it is served by history.Log.Read and not by a follower.
//
// Packets that are not stored are passed on as they come, at most once.
package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// How often the heads of all followed groups are compared. A follower that
	// stands behind at two polls in a row catches up, so the lost last message
	// of an idle group is found after at most two of them.
	pollEvery = 750 * time.Millisecond
	// Groups whose heads are read in one call.
	headsPerCall = 1000
	// Calls for the heads of new followers that are under way at once. While
	// they are, the next ones gather.
	headCalls = 2
	// Reads of the store that are under way at once.
	readCalls = 32
	// How long one call of the store may take.
	callTimeout = 3 * time.Second
)

// Hub follows groups on behalf of many followers. It is the bus's Listener.
// Its methods may be called at once from many goroutines, before and during Run.
//
// Locks are taken in this order: Hub.mu, topic.mu, and then those of queues and
// sinks.
type Hub struct {
	store   history.Log
	bus     history.Bus
	log     *slog.Logger
	metrics *metrics

	// Followers whose place is to be compared with the head, and followers that
	// read the store. Each follower is at most once in each.
	heads, reads *queue
	expectations expectations
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

// New makes a Hub. It does nothing before Run.
func New(store history.Log, bus history.Bus, log *slog.Logger, reg prometheus.Registerer) *Hub {
	h := &Hub{
		store:        store,
		bus:          bus,
		log:          log,
		metrics:      newMetrics(reg),
		expectations: expectations{wake: make(chan struct{}, 1)},
		resubscribe:  make(chan struct{}, 1),
		topics:       make(map[group.Name]*topic),
		held:         make(map[group.Name]bool),
		changed:      make(map[group.Name]struct{}),
	}
	h.heads = newQueue(headCalls, headsPerCall, h.checkHeads)
	h.reads = newQueue(readCalls, 1, func(ctx context.Context, f []*Follower) { f[0].work(ctx) })
	h.registerDepths(reg)
	return h
}

// Run serves the followers until ctx ends. After that none of them starts or
// catches up.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){
		h.keepSubscribed, h.keepPolling, h.keepSweeping, h.heads.run, h.reads.run,
	} {
		parts.Go(func() { part(ctx) })
	}
	parts.Wait()
	return nil
}

// NewFollower makes a follower that will pass the events of g to sink. Nothing
// happens before its Begin.
func (h *Hub) NewFollower(g group.Name, start Start, sink Sink) *Follower {
	return &Follower{hub: h, name: g, sink: sink, start: start}
}

// insert puts f into its topic; the first one makes it.
func (h *Hub) insert(f *Follower) {
	h.mu.Lock()
	t := h.topics[f.name]
	if t == nil {
		t = &topic{hub: h, name: f.name}
		h.topics[f.name] = t
		h.change(f.name)
	}
	t.mu.Lock() // before Hub.mu is let go, so that the topic is not given up meanwhile
	defer t.mu.Unlock()
	h.mu.Unlock()
	h.metrics.followers.Inc()
	f.topic = t
	t.followers = append(t.followers, f)
	if t.confirmed {
		f.open()
	}
}

// remove takes f out of its topic; the last one takes the topic along.
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
		delete(h.topics, t.name)
		h.change(t.name)
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
		t.heard(epoch, events)
	}
}

// Expect says that a message was stored at this place. When the followers of
// the group have not heard of it soon, they catch up.
func (h *Hub) Expect(g group.Name, epoch stream.Epoch, seq uint64) {
	if t := h.topic(g); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.expect(place{epoch, seq})
	}
}

// topic is nil when nobody follows g.
func (h *Hub) topic(g group.Name) *topic {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.topics[g]
}

// allTopics returns the topics there are now.
func (h *Hub) allTopics() []*topic {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		all = append(all, t)
	}
	return all
}
