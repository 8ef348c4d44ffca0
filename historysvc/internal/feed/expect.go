package feed

import (
	"context"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// sweepEvery is the pause between two looks at what was expected: a message
// that was stored here and is not heard is looked for after one to two of them.
const sweepEvery = 100 * time.Millisecond

// place is that of a message.
type place struct {
	epoch stream.Epoch
	seq   uint64
}

// expected is what the followers of a topic should have heard of. It is guarded
// by topic.mu.
type expected struct {
	// Stored since the last sweep: the newest one; and before it.
	fresh, due place
	// The topic is listed for the next sweep.
	listed bool
}

// expectations lists the topics to look at. There is a timer only while there
// are some.
type expectations struct {
	// Holds a token when topics has become non-empty.
	wake   chan struct{}
	mu     sync.Mutex
	topics []*topic
}

func (e *expectations) add(t *topic) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.topics = append(e.topics, t)
	if len(e.topics) == 1 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

func (e *expectations) take() []*topic {
	e.mu.Lock()
	defer e.mu.Unlock()
	topics := e.topics
	e.topics = nil
	return topics
}

// expect is called under t.mu.
func (t *topic) expect(p place) {
	if !t.lacks(p) {
		return
	}
	if x := &t.expected; x.fresh.epoch != p.epoch || x.fresh.seq < p.seq {
		x.fresh = p
	}
	t.list()
}

func (t *topic) list() {
	if !t.expected.listed {
		t.expected.listed = true
		t.hub.expectations.add(t)
	}
}

// lacks says whether a live follower has not got to p.
func (t *topic) lacks(p place) bool {
	for _, f := range t.followers {
		if f.lacks(p) {
			return true
		}
	}
	return false
}

func (f *Follower) lacks(p place) bool {
	return p.epoch != 0 && f.phase == live && (f.pos.Epoch != p.epoch || f.pos.Seq < p.seq)
}

// sweep looks for what was expected at the last sweep already.
func (t *topic) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := &t.expected
	for _, f := range t.followers {
		if f.lacks(x.due) {
			f.catchUp(causeExpected)
		}
	}
	x.listed = false
	x.due, x.fresh = x.fresh, place{}
	if t.lacks(x.due) {
		t.list()
	} else {
		x.due = place{}
	}
}

func (h *Hub) keepSweeping(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.expectations.wake:
		}
		pause := time.NewTimer(sweepEvery)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		for _, t := range h.expectations.take() {
			t.sweep()
		}
	}
}
