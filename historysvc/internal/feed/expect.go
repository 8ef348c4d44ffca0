package feed

import (
	"context"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// sweepEvery is the time between two sweeps of expectations. A message that was
// stored here and does not arrive is read after one to two of them.
const sweepEvery = 100 * time.Millisecond

// messageID names a message of a group.
type messageID struct {
	epoch stream.Epoch
	seq   uint64
}

// expectations are messages that the followers of topics should get from the bus.
type expectations struct {
	// Holds a token when there may be some.
	wake chan struct{}

	mu sync.Mutex
	// Of each topic, the newest message stored since the last sweep, and the newest
	// before it.
	fresh, due map[*topic]messageID
}

func newExpectations() *expectations {
	return &expectations{wake: make(chan struct{}, 1), fresh: make(map[*topic]messageID)}
}

// add notes a message that was stored, unless all followers have it.
func (e *expectations) add(t *topic, m messageID) {
	if !t.lacks(m) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if newest := e.fresh[t]; newest.epoch != m.epoch || newest.seq < m.seq {
		e.fresh[t] = m
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// sweep returns the messages that are due, and reports whether it still expects others.
func (e *expectations) sweep() (due map[*topic]messageID, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	due, e.due, e.fresh = e.due, e.fresh, make(map[*topic]messageID)
	return due, len(e.due) > 0
}

// run sweeps until ctx ends. It has a timer only while messages are expected.
func (e *expectations) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for more := true; more; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(sweepEvery):
			}
			var due map[*topic]messageID
			due, more = e.sweep()
			for t, m := range due {
				t.catchUpTo(m)
			}
		}
	}
}

// catchUpTo lets the followers that are not yet at m catch up.
func (t *topic) catchUpTo(m messageID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		if f.lacks(m) {
			f.catchUp(causeExpected)
		}
	}
}

// lacks reports whether a live follower is not yet at m.
func (t *topic) lacks(m messageID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		if f.lacks(m) {
			return true
		}
	}
	return false
}

func (f *Follower) lacks(m messageID) bool {
	pos := &f.pos
	return f.state == live && (pos.Epoch != m.epoch || pos.Seq < m.seq)
}
