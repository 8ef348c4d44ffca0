package feed

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// silentBus subscribes at once and has nothing else to say.
type silentBus struct {
	history.Log
	hub *Hub
	// Closed when it is asked for heads for the first time.
	asked chan struct{}
	once  sync.Once
}

func (b *silentBus) Subscribe(groups ...group.Name) {
	for _, g := range groups {
		b.hub.Subscribed(g)
	}
}
func (b *silentBus) Unsubscribe(...group.Name) {}
func (b *silentBus) Heads(_ context.Context, groups []group.Name) []history.Head {
	b.once.Do(func() { close(b.asked) })
	heads := make([]history.Head, len(groups))
	for i := range heads {
		heads[i].Position.Epoch = 1
	}
	return heads
}

// swallow takes everything.
type swallow struct{}

func (s swallow) Attached(stream.Position, bool)            {}
func (s swallow) Lost(int)                                  {}
func (s swallow) Deliver(stream.Epoch, []stream.Event) bool { return true }
func (s swallow) Failed(error)                              {}

// BenchmarkHeard is the cost of one live event for a group with one follower,
// as of one edge.
func BenchmarkHeard(b *testing.B) {
	bus := &silentBus{asked: make(chan struct{})}
	hub := New(bus, bus, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	bus.hub = hub
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = hub.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	f := hub.NewFollower("/room/1", Start{After: &stream.Position{Epoch: 1}})
	f.Begin(swallow{})
	defer f.Stop()
	<-bus.asked // it has compared its position before it moves
	payload := make([]byte, 128)
	events := make([]stream.Event, 1)
	b.ReportAllocs()
	for i := range b.N {
		events[0] = stream.Event{Kind: stream.Message, Seq: uint64(i + 1), Payload: payload}
		hub.Heard("/room/1", 1, events)
	}
}
