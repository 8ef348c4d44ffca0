package feed

import (
	"sync"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// topic is a group that somebody follows.
type topic struct {
	hub  *Hub
	name group.Name

	// Guards what follows and the state of every follower. It is held while
	// sinks are called: over memory work only.
	mu sync.Mutex
	// The subscription holds.
	confirmed bool
	followers []*Follower
	expected  expected
}

// remove returns false if f was not there (any more).
func (t *topic) remove(f *Follower) bool {
	for i, other := range t.followers {
		if other == f {
			last := len(t.followers) - 1
			t.followers[i] = t.followers[last]
			t.followers[last] = nil
			t.followers = t.followers[:last]
			return true
		}
	}
	return false
}

func (t *topic) subscribed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.confirmed = true
	for _, f := range t.followers {
		f.subscribed()
	}
}

func (t *topic) heard(epoch stream.Epoch, events []stream.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		f.heard(epoch, events)
	}
}
