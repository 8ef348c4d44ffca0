package feed

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// topic is a group that has followers.
type topic struct {
	group group.Name

	// Guards the fields below and the state of every follower. It is held while
	// sinks are called: over memory work only.
	mu sync.Mutex
	// The subscription holds.
	confirmed bool
	followers []*Follower
	// Where followers last went on after a loss.
	lossAt stream.Position
}

// logLoss logs once that messages were lost and that readers continue at a position.
func (t *topic) logLoss(log *slog.Logger, at stream.Position) {
	if t.lossAt == at {
		return
	}
	t.lossAt = at
	log.Warn("messages of a group were lost, or trimmed before they were read: its readers get a gap",
		"group", t.group, "seq", at.Seq)
}

// remove reports whether f was one of the followers.
func (t *topic) remove(f *Follower) bool {
	i := slices.Index(t.followers, f)
	if i < 0 {
		return false
	}
	t.followers = slices.Delete(t.followers, i, i+1)
	return true
}

func (t *topic) subscribed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.confirmed = true
	for _, f := range t.followers {
		f.subscribed()
	}
}

func (t *topic) receive(epoch stream.Epoch, events []stream.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		f.receive(epoch, events)
	}
}
