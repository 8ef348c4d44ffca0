package room

import (
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Dialect is a protocol as rooms see it: what its members get of what happens, as
// frames. The zero Frame is nothing. Its methods are called under locks: they must not
// block, nor use a Registry, a Conn or a Member. They are safe for concurrent use.
type Dialect interface {
	// Traits returns how members are treated. It always returns the same.
	Traits() Traits
	// Event returns what members get of an event that they did not publish: nothing of
	// a tombstone. It is called once for all of them.
	Event(e *Event) ws.Frame
	publishes
	memberships
}

// publishes is what a Dialect makes of the publishes of a connection.
type publishes interface {
	// Own returns what a member gets in the place of a message of its own, or of its
	// tombstone. p is nil if the publish is not unanswered. If ok is false, the member
	// gets the event, as others do.
	Own(e *Event, p *Publish) (f ws.Frame, ok bool)
	// Answer returns the answer to a publish that has succeeded, if it does not take
	// the message's place.
	Answer(p *Publish, r *Receipt) ws.Frame
	// Refusal returns the answer to a publish that has not.
	Refusal(p *Publish, r *relay.Result) ws.Frame
}

// memberships is what a Dialect makes of a membership's course.
type memberships interface {
	// Joined returns the answer to a join. The events of the group come after it.
	Joined(j *Joined) ws.Frame
	// Live returns what follows the stored events that a join asked for, if any.
	Live(g group.Name, at stream.Position) ws.Frame
	// Lost returns what a member gets when events are lost. It goes on from there; or,
	// if end is not nil, its connection ends.
	Lost(g group.Name, at stream.Position) (f ws.Frame, end *ws.CloseError)
	// Left returns what a member gets whose membership is ended here. If end is not
	// nil, its connection ends.
	Left(g group.Name, why *Refusal) (f ws.Frame, end *ws.CloseError)
}

// Traits are how members of a Dialect are treated.
type Traits struct {
	// Members are shown every change. Otherwise stream.Changes decides.
	EveryChange bool
	// A connection may have many members, each with a share of its queue. One whose
	// share is full gets its events from the store, when there is room again. Otherwise
	// a member may use all of the queue, and lag; a full one ends the connection.
	Shares bool
}

// Event is an event of a group.
type Event struct {
	*stream.Event
	Group group.Name
	// The position after it. Packets that are not stored have none.
	Pos stream.Position
}

// Publish is a publish of a connection.
type Publish struct {
	// Member has joined the group; nil: the connection has not. See Pending.Assign.
	Member *Member
	Group  group.Name
	Kind   stream.Kind
	// UUID and Request are for the Dialect.
	UUID    string
	Request uint64
}

// Receipt is what became of a publish that has succeeded.
type Receipt struct {
	// The number of the message; 0: it is not stored.
	Seq uint64
	// When it was stored, Unix milliseconds; 0: unknown.
	At int64
	// A message with its uuid had been stored before, and was recalled.
	Duplicate, Recalled bool
}

// Joined is a join that has succeeded.
type Joined struct {
	Group group.Name
	// Start.Request.
	Request uint64
	// Where the member's events begin.
	Pos stream.Position
	// The place where it wanted to begin is lost.
	Gap bool
}

// Refusal is why a membership ends.
type Refusal struct {
	// As in HTTP.
	Code   int
	Reason string
	// When to join again; 0: unknown.
	Again time.Duration
}

// maxDialects is how many dialects an edge may have.
const maxDialects = 4

// dialects are those of a Registry, in the order of their first connections.
type dialects [maxDialects]Dialect

// index returns the place of d. The caller holds the lock that guards additions. An
// entry never changes, so those who know its place need no lock.
func (all *dialects) index(d Dialect) uint8 {
	for i := range all {
		switch all[i] {
		case nil:
			all[i] = d
			return uint8(i)
		case d:
			return uint8(i)
		}
	}
	panic("room: too many dialects")
}
