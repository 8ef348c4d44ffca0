package room

import (
	"sync"
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// maxBroken is how often in a row a room attaches anew because what it gets
// does not follow, before it gives its position up.
const maxBroken = 10

// Room is one group on this edge. It exists while it has members.
type Room struct {
	name     group.Name
	registry *Registry
	// len(members), for readers without the lock.
	size atomic.Int64

	mu sync.Mutex
	// The last member has left; whoever comes needs another Room.
	dead    bool
	members roster
	// The relay's name for the subscription; 0: there is none.
	channel uint32
	// The channel has been attached: events come.
	live bool
	// What the room has passed on; meaningless before it is known.
	pos   stream.Position
	known bool
	// The room is one reader of the stream: recalls of what it never had are
	// silent.
	skips stream.Skips
	// The last recalls that live members were told of.
	recalls recalls
	// Times that the room has attached anew without getting on.
	broken int
	// Joins wait for it; nil when live.
	attempt *attempt
	// What catching members may need; kept while there are some.
	catchers int
	recent   recent
	// Events passed on so far.
	passed uint64
}

// attempt is the outcome of attaching, for those who wait.
type attempt struct {
	done chan struct{}
	err  error
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
	m.joined = r.passed
	r.members.add(m)
	r.size.Store(int64(len(r.members)))
	if m.Resumes() {
		r.startCatching()
	}
	if r.live {
		r.begin(m)
		return nil, true
	}
	m.state = waiting
	if r.attempt == nil {
		r.attempt = &attempt{done: make(chan struct{})}
	}
	if r.channel == 0 {
		r.attach()
	}
	return r.attempt, true
}

// begin gives a member that has missed nothing its first state.
func (r *Room) begin(m *Member) {
	m.state, m.since = live, r.pos.Recalls
	if m.Resumes() {
		m.state = catching
	}
}

// remove takes m out. The last one closes the door.
func (r *Room) remove(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members.remove(m)
	r.size.Store(int64(len(r.members)))
	m.state = left
	if m.Resumes() && m.resumed == nil {
		r.stopCatching()
	}
	if len(r.members) > 0 {
		return
	}
	r.dead = true
	r.detach()
	r.registry.forget(r)
}

// attach opens a channel from where the room is. If the relay has no stream
// now, Restored will do it.
func (r *Room) attach() {
	var from *stream.Position
	if r.known {
		pos := r.pos
		from = &pos
	}
	r.live = false
	r.channel = r.registry.attach(r, from)
}

func (r *Room) detach() {
	if r.channel != 0 {
		r.registry.detach(r.channel)
		r.channel = 0
	}
	r.live = false
}

// lost hears that the channel is gone with the relay's stream.
func (r *Room) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.channel = 0
	r.live = false
}

// wanted attaches if nothing else has.
func (r *Room) wanted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead && r.channel == 0 {
		r.attach()
	}
}

// attached hears that the channel is live from at on.
func (r *Room) attached(channel uint32, at stream.Position, gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel {
		return
	}
	// Going on elsewhere than asked for would be a hole, whatever it is called.
	gap = gap || r.known && at != r.pos
	if gap {
		r.startOver()
	}
	if !r.known {
		r.pos, r.known = at, true
		r.recent.restart(at)
	}
	r.live = true
	for _, m := range r.members {
		if m.state == waiting {
			r.begin(m)
		}
	}
	r.settle(nil)
}

// startOver gives the position up: everybody who relied on it is told.
func (r *Room) startOver() {
	if r.known {
		r.registry.metrics.gaps.Inc()
		for _, m := range r.members {
			if m.state != waiting {
				m.lose()
			}
		}
	}
	r.known = false
	r.skips = stream.Skips{}
	r.recalls = recalls{}
	r.broken = 0
}

// settle tells the joins that wait.
func (r *Room) settle(err error) {
	if r.attempt != nil {
		r.attempt.err = err
		close(r.attempt.done)
		r.attempt = nil
	}
}

// refused hears that the channel cannot be had.
func (r *Room) refused(channel uint32, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel {
		return
	}
	r.detach()
	r.settle(err)
	r.registry.retryLater(r)
}

// reattach is the way out of a hole: the relay replays what follows.
func (r *Room) reattach() {
	r.registry.metrics.holes.Inc()
	r.broken++
	if r.broken > maxBroken {
		r.startOver()
	}
	r.detach()
	r.attach()
}

// has says whether the room has passed on the message at a place.
func (r *Room) has(at place) bool {
	return r.known && r.pos.Epoch == at.epoch && r.pos.Seq >= at.seq
}

// fill attaches anew if the message at a place has not come.
func (r *Room) fill(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead && r.live && !r.has(at) {
		r.registry.metrics.holes.Inc()
		r.detach()
		r.attach()
	}
}
