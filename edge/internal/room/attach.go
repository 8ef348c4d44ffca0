package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// maxBroken is how often in a row a room attaches again because an event does not
// follow, before it gives its position up.
const maxBroken = 10

// attempt is the outcome of attaching, for the joins that wait.
type attempt struct {
	done chan struct{}
	err  error
}

// endAttempt tells the joins that wait.
func (r *Room) endAttempt(err error) {
	if r.attempt != nil {
		r.attempt.err = err
		close(r.attempt.done)
		r.attempt = nil
	}
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

// where returns the room's channel, which is 0 if there is none, and its position.
func (r *Room) where() (channel uint32, c relay.Channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Group = r.name
	if r.known {
		at := r.pos
		c.At = &at
	}
	return r.channel, c
}

func (r *Room) detach() {
	if r.channel != 0 {
		r.registry.detach(r.channel)
		r.channel = 0
	}
	r.live = false
}

// attachIfDetached attaches if nothing else has.
func (r *Room) attachIfDetached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead && r.channel == 0 {
		r.attach()
	}
}

// attached: the channel is live from at on.
func (r *Room) attached(channel uint32, at stream.Position, gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel {
		return
	}
	// Going on elsewhere than asked for would be a hole, whatever it is called.
	if gap || r.known && at != r.pos {
		r.startOver()
	}
	if !r.known {
		r.pos, r.known = at, true
		r.recent.restart(at)
	}
	r.live = true
	for _, m := range r.members {
		switch m.state {
		case waiting:
			r.begin(m)
		case adrift:
			r.lose(m)
		case live:
			m.answerPassed(r.pos)
		}
	}
	r.endAttempt(nil)
}

// refused: the channel cannot be had.
func (r *Room) refused(channel uint32, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel {
		return
	}
	r.detach()
	r.endAttempt(err)
	r.registry.retryLater(r)
}

// lost: the channel is gone with the relay's stream.
func (r *Room) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.channel = 0
	r.live = false
}

// startOver gives the position up. Members that relied on it end, or go on where the room
// will be attached.
func (r *Room) startOver() {
	if r.known {
		r.registry.metrics.gaps.Inc()
		relied := 0
		for _, m := range r.members {
			if m.state == waiting {
				continue
			}
			if last, end := m.conn.Dialect.Lost(r.name, r.pos); end != nil {
				m.end(last, end)
			} else if m.state != catching { // whose place is its own, and may still be good
				m.state = adrift
			}
			relied++
		}
		r.registry.log.Warn("messages of a group were lost, or their order: its members have to read the history",
			"group", r.name, "members", relied, "losses_total", r.registry.losses.Add(1))
	}
	r.known = false
	r.changes = stream.Changes{}
	r.broken = 0
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

// expect takes note that the message at a place is stored. If the room has not passed
// it on soon, it reads on from where it is.
func (r *Room) expect(at place) {
	if !r.has(at) {
		r.registry.holes.note(r, at)
	}
}

// has reports whether the room has passed on the message at a place.
func (r *Room) has(at place) bool {
	return r.known && r.pos.Epoch == at.epoch && r.pos.Seq >= at.seq
}

// fill attaches again if the message at a place has not come.
func (r *Room) fill(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dead && r.live && !r.has(at) {
		r.registry.metrics.holes.Inc()
		r.detach()
		r.attach()
	}
}
