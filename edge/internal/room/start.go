package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Start says where a member's events begin. The zero Start is now.
type Start struct {
	// After the message with this uuid. If that is lost, with the oldest message that
	// is retained.
	AfterUUID string
	// After this position. If that is lost, with the newest Last messages.
	From *stream.Position
	// Without From: with the newest Last messages.
	Last int
	// Request is for the Dialect, when it answers the join.
	Request uint64
	// Uncounted: it is in no figure of members.
	Uncounted bool
}

// reads reports whether the store may have to be read.
func (s *Start) reads() bool { return s.AfterUUID != "" || s.From != nil || s.Last > 0 }

// is reports whether s is the position at, without a look at the store.
func (s *Start) is(at stream.Position) bool { return !s.reads() || s.From != nil && *s.From == at }

// read returns where the first read begins.
func (s *Start) read() relay.Start {
	switch {
	case s.AfterUUID != "":
		return relay.Start{AfterUUID: s.AfterUUID, IfLost: relay.FromOldest}
	case s.From == nil:
		return relay.Start{Newest: s.Last}
	case s.Last > 0:
		return relay.Start{After: *s.From, IfLost: relay.Fallback(s.Last)}
	default:
		return relay.Start{After: *s.From, IfLost: relay.FromNow}
	}
}

// readOn returns where a read begins that goes on from a place.
func readOn(at stream.Position) relay.Start { return relay.Start{After: at, IfLost: relay.FromNow} }
