package room

import (
	"sync"
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Room is one group on this edge. It exists while it has members.
type Room struct {
	name     group.Name
	registry *Registry
	// What waits for members that are behind.
	backlog *ws.Backlog
	// len(members), for readers without the lock.
	size atomic.Int64

	mu sync.Mutex
	// The last member has left; the next one needs another Room.
	dead    bool
	members roster

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

	// Catching members (resume.go): how many there are, and what they may need.
	catchers int
	recent   recent
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
	m.out.SetBacklog(r.backlog)
	m.joined = r.passed
	r.members.add(m)
	r.size.Store(int64(len(r.members)))
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

// begin ends the waiting of a member, which has missed nothing.
func (r *Room) begin(m *Member) {
	m.state, m.mark = live, r.changes.Mark()
	if m.Resumes() {
		m.state = catching
	}
}

// remove takes m out. The room dies with its last member.
func (r *Room) remove(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members.remove(m)
	r.size.Store(int64(len(r.members)))
	if m.catches() {
		r.stopCatching()
	}
	m.state = left
	if len(r.members) > 0 {
		return
	}
	r.dead = true
	r.detach()
	r.registry.forget(r)
}
