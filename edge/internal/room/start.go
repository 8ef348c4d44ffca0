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
	// With the newest Last messages.
	Last int
	// Request is for the Dialect, when it answers the join.
	Request uint64
}

// reads reports whether the store may have to be read.
func (s *Start) reads() bool { return s.AfterUUID != "" || s.From != nil || s.Last > 0 }

// is reports whether s is the position at, without a look at the store.
func (s *Start) is(at stream.Position) bool { return !s.reads() || s.From != nil && *s.From == at }

// read returns where the first read begins.
func (s *Start) read() readFrom {
	switch {
	case s.AfterUUID != "":
		return readFrom{afterUUID: s.AfterUUID, ifLost: oldest}
	case s.From != nil:
		return readFrom{after: *s.From, ifLost: s.Last}
	default:
		return readFrom{newest: s.Last}
	}
}

// oldest stands for the oldest message that is retained.
const oldest = -1

// readFrom is where a read of the store begins: after a message, before the newest so
// many, or after a position.
type readFrom struct {
	afterUUID string
	newest    int
	after     stream.Position
	// If that is lost, with the newest so many messages, or with the oldest.
	ifLost int
}

// relay returns what the relay is asked for.
func (f readFrom) relay() relay.Start {
	return relay.Start{AfterUUID: f.afterUUID, After: f.after}
}
