package room

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Room is one group on this edge. It exists while it has members, or is followed without.
type Room struct {
	name     group.Name
	registry *Registry
	// len(members), and how many of them are in no figure, for readers without the lock.
	size, uncounted atomic.Int64

	mu sync.Mutex
	// The last member has left; the next one needs another Room.
	dead    bool
	members roster
	// What waits for members without shares that are behind; nil: it never had any.
	backlog *ws.Backlog

	// The subscription (attach.go).

	// The relay's name for it; 0: there is none.
	channel uint32
	// It has begun: events come.
	live bool
	// Times that the room has attached again without getting on.
	broken int
	// Joins wait for it; nil when live.
	attempt *attempt

	// The stream (deliver.go).

	// How far the room has passed it on; meaningless before it is known.
	pos   stream.Position
	known bool
	// Of all members that have none of their own.
	changes stream.Changes
	// Events passed on so far.
	passed uint64

	// Seconds for which the group is followed without members.
	followed int

	// Catching members (catchup.go): how many there are, and what they may need; nil if
	// there are none.
	catchers int
	recent   *recent
}

// add makes m a member. It returns what to wait for before m counts as joined;
// nil if the room is live. ok is false when the room is dead.
func (r *Room) add(m *Member) (wait *attempt, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return nil, false
	}
	m.room = r
	if !m.traits.Shares {
		if r.backlog == nil {
			r.backlog = r.registry.newBacklog()
		}
		m.out.SetBacklog(r.backlog)
	}
	m.catch.joined = r.passed
	r.members.add(m)
	r.count(m, 1)
	if m.catches() {
		r.startCatching()
	}
	if r.live {
		r.begin(m)
		return nil, true
	}
	if r.attempt == nil {
		r.attempt = &attempt{done: make(chan struct{})}
	}
	if r.channel == 0 {
		r.attach()
	}
	return r.attempt, true
}

// begin ends the waiting of a member, which has missed nothing. If it begins where the
// room is, the join is answered and the member live.
func (r *Room) begin(m *Member) {
	m.mark = r.changes.Mark()
	if !m.catch.start.is(r.pos) {
		m.state = catching
		m.conn.add(m)
		return
	}
	if m.catches() {
		r.stopCatching()
	}
	m.state = live
	m.joined(r.pos, false)
	m.push(m.conn.Dialect.Live(r.name, r.pos))
	m.catch = nil
}

// answer answers the join of a member that catches up. It returns false if m has left.
func (r *Room) answer(m *Member, at stream.Position, gap bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return false
	}
	m.catch.pos = at
	m.joined(at, gap)
	return true
}

// joined answers the join. The caller holds the room's lock.
func (m *Member) joined(at stream.Position, gap bool) {
	c := m.catch
	c.answered = true
	m.push(m.conn.Dialect.Joined(&Joined{Group: m.room.name, Request: c.start.Request, Pos: at, Gap: gap}))
	if c.done != nil {
		close(c.done)
	}
}

// awaitAnswer waits until the join is answered. If that fails, or ctx ends before, m is no
// member any more.
func (r *Room) awaitAnswer(ctx context.Context, m *Member, done <-chan struct{}) error {
	select {
	case <-done:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case m.catch != nil && m.catch.failed:
		return ErrUnavailable
	case m.catch == nil || m.catch.answered:
		return nil // perhaps at the last moment
	}
	r.drop(m)
	return ErrUnavailable
}

// count counts m in or out.
func (r *Room) count(m *Member, n int64) {
	r.size.Add(n)
	if m.uncounted {
		r.uncounted.Add(n)
	}
}

// counted returns how many members are in the figures.
func (r *Room) counted() int { return int(r.size.Load() - r.uncounted.Load()) }

// remove takes m out, if it is a member.
func (r *Room) remove(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state != left {
		r.drop(m)
	}
}

// drop takes m out. The publishes whose results are known are answered by them. The room
// dies with its last member, unless it is to be followed longer. The caller holds
// the lock.
func (r *Room) drop(m *Member) {
	r.members.remove(m)
	r.count(m, -1)
	if m.catches() {
		r.stopCatching()
	}
	m.state = left
	if m.waits {
		o := outgoing{member: m}
		o.ackWhere(func(*result) bool { return true })
		o.send()
	}
	if len(r.members) == 0 && r.followed == 0 {
		r.die()
	}
}

// die ends a room without members. The caller holds the lock.
func (r *Room) die() {
	r.dead = true
	r.detach()
	r.registry.forget(r)
}
