package room

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Relay is what rooms need of the stream to the history service. Attach and
// Detach return at once and call no Handler.
type Relay interface {
	// Attach opens a channel for a group, from a position or from now on. It
	// returns 0 when there is no stream; then Restored will be called.
	Attach(g group.Name, from *stream.Position) (channel uint32)
	// Detach ends a channel.
	Detach(channel uint32)
	// Read returns a piece of what the store has after start. It has a deadline
	// of its own.
	Read(ctx context.Context, g group.Name, start relay.Start) (relay.Batch, error)
}

var (
	// ErrUnavailable means that the group's traffic cannot be had now.
	ErrUnavailable = errors.New("the group is unavailable now")
	// ErrTooManyGroups means that the edge follows as many groups as it may.
	ErrTooManyGroups = errors.New("too many groups")
)

// Registry owns the rooms of this edge. It is the relay's Handler.
//
// Locks: a Room's comes before the Registry's, which comes before the relay's.
type Registry struct {
	relay   Relay
	edge    uint64
	log     *slog.Logger
	metrics *metrics
	pages   *pages
	clock   clock
	holes   holes
	budget  *limit.Budget
	// Rooms whose senders are held back.
	congested atomic.Int64
	// Times that a room lost its place.
	losses    atomic.Int64
	recent    int // how many events rooms keep for members that catch up, at most
	maxGroups int // 0: any number
	// Used by the Handler's calls, which come one after another.
	batch batch

	mu       sync.Mutex
	rooms    map[group.Name]*Room
	channels map[uint32]*Room
	// Rooms whose channel was refused although they have members.
	refused map[*Room]struct{}
	// Rooms that are followed without members.
	followed map[*Room]struct{}
	dialects dialects
}

// New returns a Registry for the edge process with this name, as in stream.Origin. What
// members make it hold is taken from the budget.
func New(r Relay, edge uint64, budget *limit.Budget, log *slog.Logger, reg prometheus.Registerer) *Registry {
	g := &Registry{
		relay:    r,
		edge:     edge,
		budget:   budget,
		log:      log,
		recent:   maxRecent,
		rooms:    make(map[group.Name]*Room),
		channels: make(map[uint32]*Room),
		refused:  make(map[*Room]struct{}),
		followed: make(map[*Room]struct{}),
	}
	g.metrics = newMetrics(reg, g)
	g.pages = newPages(r, edge, g.metrics)
	return g
}

// LimitGroups bounds the groups that have members here. It comes before the first Join.
func (g *Registry) LimitGroups(most int) { g.maxGroups = most }

// Run serves the clock, tries again what the relay has refused, and fills holes
// that no event has shown, once a second until ctx ends.
func (g *Registry) Run(ctx context.Context) error {
	next := nextSecond()
	for backoff.Sleep(ctx, time.Until(next)) == nil {
		g.clock.tick(next)
		g.retry()
		for r, at := range g.holes.take() {
			r.fill(at)
		}
		g.stopFollowing()
		next = nextSecond()
	}
	return nil
}

func nextSecond() time.Time { return time.Now().Truncate(time.Second).Add(time.Second) }

// Join makes m a member of the group's room, and returns when the room receives
// the group's traffic: m gets everything that is published from then on. It
// gets its frames through its outbox, which may be started later. On an error
// (ErrUnavailable, also when ctx ends, or ErrTooManyGroups) m is no member.
func (g *Registry) Join(ctx context.Context, name group.Name, m *Member) error {
	if name == group.Timer {
		g.clock.add(m)
		return nil
	}
	var wait *attempt
	for ok := false; !ok; {
		r := g.room(name)
		switch {
		case r != nil:
			wait, ok = r.add(m)
		case !g.makeRoom():
			return ErrTooManyGroups
		}
	}
	if wait == nil {
		return nil
	}
	select {
	case <-wait.done:
		if wait.err == nil {
			return nil
		}
		g.log.WarnContext(ctx, "group refused by the history service", "error", wait.err)
	case <-ctx.Done():
	}
	g.Leave(m)
	return ErrUnavailable
}

// JoinAnswered is Join, and returns when the join is answered. The connection must have
// been started.
func (g *Registry) JoinAnswered(ctx context.Context, name group.Name, m *Member) error {
	done := make(chan struct{})
	m.catch.done = done
	if err := g.Join(ctx, name, m); err != nil || m.room == nil {
		return err
	}
	return m.room.awaitAnswer(ctx, m, done)
}

// Leave ends a membership, if it has not ended. No event of the group follows. Publishes of
// the member that are not settled are answered by their results.
func (g *Registry) Leave(m *Member) {
	if m.room == nil {
		g.clock.remove(m)
		return
	}
	m.room.remove(m)
}

// LeaveFollowed is Leave, but the edge follows the group for about 30 s more, so that the
// next Join is cheap and misses nothing.
func (g *Registry) LeaveFollowed(m *Member) {
	if r := m.room; r != nil {
		g.follow(r)
	}
	g.Leave(m)
}

// End ends a membership, and lets the peer know why. It reports whether m was a member
// and its connection goes on.
func (g *Registry) End(m *Member, why Refusal) bool {
	if m.room == nil {
		return g.clock.end(m, &why)
	}
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	return m.room.end(m, &why)
}

// Restored attaches every room (relay.Handler).
func (g *Registry) Restored() {
	for _, r := range g.all() {
		r.attachIfDetached()
	}
}

// Lost leaves every room without a channel; members and positions stay
// (relay.Handler).
func (g *Registry) Lost() {
	g.mu.Lock()
	clear(g.channels)
	g.mu.Unlock()
	for _, r := range g.all() {
		r.lost()
	}
}

// Attached makes a room live, or fails it with err (relay.Handler).
func (g *Registry) Attached(channel uint32, at stream.Position, gap bool, err error) {
	r := g.byChannel(channel)
	switch {
	case r == nil:
	case err != nil:
		r.refused(channel, err)
	default:
		r.attached(channel, at, gap)
	}
}

// Deliver passes events on to the members of a room (relay.Handler).
func (g *Registry) Deliver(channel uint32, epoch stream.Epoch, events []stream.Event) {
	if r := g.byChannel(channel); r != nil {
		r.deliver(channel, epoch, events, &g.batch)
	}
}

// Channels returns the rooms' channels, and where the rooms are (relay.Handler).
func (g *Registry) Channels() map[uint32]relay.Channel {
	rooms := g.all()
	channels := make(map[uint32]relay.Channel, len(rooms))
	for _, r := range rooms {
		if id, c := r.where(); id != 0 {
			channels[id] = c
		}
	}
	return channels
}

// Members returns how many members each group has here (relay.Handler).
func (g *Registry) Members() map[group.Name]uint32 {
	rooms := g.all()
	counts := make(map[group.Name]uint32, len(rooms)+1)
	for _, r := range rooms {
		if n := r.counted(); n > 0 {
			counts[r.name] = uint32(n)
		}
	}
	if n := g.clock.size(); n > 0 {
		counts[group.Timer] = uint32(n)
	}
	return counts
}

// room returns the group's room, new if need be; nil: there are too many.
func (g *Registry) room(name group.Name) *Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[name]
	if r == nil {
		if g.maxGroups > 0 && len(g.rooms) >= g.maxGroups {
			return nil
		}
		r = &Room{name: name, registry: g}
		g.rooms[name] = r
	}
	return r
}

// dialectOf returns the place of a dialect among all.
func (g *Registry) dialectOf(d Dialect) uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dialects.index(d)
}

// forget removes a dead room.
func (g *Registry) forget(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.rooms, r.name)
	delete(g.refused, r)
	delete(g.followed, r)
}

func (g *Registry) all() []*Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.AppendSeq(make([]*Room, 0, len(g.rooms)), maps.Values(g.rooms))
}

// attach opens a channel for r. The lock is held until the channel is known
// here, since the relay may answer before Attach has returned.
func (g *Registry) attach(r *Room, from *stream.Position) (channel uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	channel = g.relay.Attach(r.name, from)
	if channel != 0 {
		g.channels[channel] = r
	}
	return channel
}

func (g *Registry) detach(channel uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.channels, channel)
	g.relay.Detach(channel)
}

func (g *Registry) byChannel(channel uint32) *Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.channels[channel]
}

func (g *Registry) retryLater(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused[r] = struct{}{}
}

func (g *Registry) retry() {
	g.mu.Lock()
	refused := slices.Collect(maps.Keys(g.refused))
	clear(g.refused)
	g.mu.Unlock()
	for _, r := range refused {
		r.attachIfDetached()
	}
}
