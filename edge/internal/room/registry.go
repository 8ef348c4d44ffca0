package room

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
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

// ErrUnavailable says that the group's traffic cannot be had now.
var ErrUnavailable = errors.New("the group cannot be had now")

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
	recent  int // what rooms keep for members that catch up, at most
	// Used by the Handler's calls, which come one after another.
	round round

	mu       sync.Mutex
	rooms    map[group.Name]*Room
	channels map[uint32]*Room
	// Rooms whose channel was refused although they have members.
	refused map[*Room]struct{}
	// Rooms that had not passed on a stored message when its receipt came, since
	// the last second and since the one before.
	stored, overdue map[*Room]place
}

// place is where a message stands.
type place struct {
	epoch stream.Epoch
	seq   uint64
}

// New returns a Registry for the edge process with this name, as in stream.Origin.
func New(r Relay, edge uint64, log *slog.Logger, reg prometheus.Registerer) *Registry {
	g := &Registry{
		relay:    r,
		edge:     edge,
		log:      log,
		pages:    newPages(r, reg),
		recent:   maxRecent,
		rooms:    make(map[group.Name]*Room),
		channels: make(map[uint32]*Room),
		refused:  make(map[*Room]struct{}),
		stored:   make(map[*Room]place),
	}
	g.metrics = newMetrics(reg, g)
	return g
}

// Run serves the clock, tries again what the relay has refused, and fills holes
// that no event has shown, once a second until ctx ends.
func (g *Registry) Run(ctx context.Context) error {
	next := nextSecond()
	for pause(ctx, time.Until(next)) == nil {
		g.clock.strike(next)
		g.retry()
		g.fillHoles()
		next = nextSecond()
	}
	return nil
}

func nextSecond() time.Time { return time.Now().Truncate(time.Second).Add(time.Second) }

// Join makes m a member of the group's room, and returns when the room receives
// the group's traffic: from then on nothing that is published passes m by. m gets
// its frames through its outbox, which may be started later. On an error (that of
// ctx, or ErrUnavailable) m is no member.
func (g *Registry) Join(ctx context.Context, name group.Name, m *Member) error {
	if name == group.Timer {
		g.clock.add(m)
		return nil
	}
	var wait *attempt
	for ok := false; !ok; {
		wait, ok = g.room(name).add(m)
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

// Leave ends a membership. It may be called once after Join has succeeded.
func (g *Registry) Leave(m *Member) {
	if m.room == nil {
		g.clock.remove(m)
		return
	}
	m.room.remove(m)
}

// AckAfter acks the publication of that number, whose message had been stored
// before: at once if m has got everything up to there, else in that place.
// If it was this very publication that had stored it, the ack in the message's
// place is enough. If the message has been recalled, the recall follows the ack.
// It returns false when too many acks wait.
func (g *Registry) AckAfter(m *Member, number uint32, at relay.Receipt, uuid string) bool {
	r := m.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.placed.has(number) {
		return true
	}
	if !m.owe(owed{epoch: at.Epoch, seq: at.Seq, uuid: uuid, number: number, recalled: at.Recalled}) {
		return false
	}
	// A member that is catching up gets it from the goroutine that feeds it.
	if place := m.place(); r.known && (m.state == live || m.state == ahead) {
		v := view{member: m}
		v.due(place.Epoch, place.Seq)
		v.send()
	}
	return true
}

// Stored notes that a message which m has sent stands at seq. It will be
// delivered, if it is not already; if that takes longer than a second or two,
// the delivery was lost, and the room reads on from where it is.
func (g *Registry) Stored(m *Member, epoch stream.Epoch, seq uint64) {
	r := m.room
	at := place{epoch, seq}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has(at) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stored[r] = at
}

// fillHoles looks after the rooms that have been waiting for a second.
func (g *Registry) fillHoles() {
	g.mu.Lock()
	overdue := g.overdue
	g.overdue, g.stored = g.stored, make(map[*Room]place)
	g.mu.Unlock()
	for r, at := range overdue {
		r.fill(at)
	}
}

// Members returns how many members each group has here.
func (g *Registry) Members() map[group.Name]uint32 {
	rooms := g.all()
	counts := make(map[group.Name]uint32, len(rooms)+1)
	for _, r := range rooms {
		if n := r.size.Load(); n > 0 {
			counts[r.name] = uint32(n)
		}
	}
	if n := g.clock.size(); n > 0 {
		counts[group.Timer] = uint32(n)
	}
	return counts
}

// room returns the group's room, new if need be.
func (g *Registry) room(name group.Name) *Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[name]
	if r == nil {
		r = &Room{name: name, registry: g}
		g.rooms[name] = r
	}
	return r
}

// forget removes a dead room.
func (g *Registry) forget(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.rooms, r.name)
	delete(g.refused, r)
}

func (g *Registry) all() []*Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	rooms := make([]*Room, 0, len(g.rooms))
	for _, r := range g.rooms {
		rooms = append(rooms, r)
	}
	return rooms
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

// sender is the session of this edge that published e; 0 if it is none.
func (g *Registry) sender(e *stream.Event) uint32 {
	if e.Origin.Edge != g.edge {
		return 0
	}
	return uint32(e.Origin.ID >> 32)
}

// publication is the sender's number of what became e.
func publication(e *stream.Event) uint32 { return uint32(e.Origin.ID) }

func (g *Registry) retryLater(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused[r] = struct{}{}
}

func (g *Registry) retry() {
	g.mu.Lock()
	refused := make([]*Room, 0, len(g.refused))
	for r := range g.refused {
		refused = append(refused, r)
	}
	clear(g.refused)
	g.mu.Unlock()
	for _, r := range refused {
		r.wanted()
	}
}
