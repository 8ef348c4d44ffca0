// Package stream defines how the events of one group follow one another, and which
// of them a receiver is shown.
//
// A group's stored messages and their changes form one sequence. A message has a
// number, Seq, and a change has a number of its own; both are dense and
// rising. A change also has a place among the messages: right after the newest one
// of the moment when it was made. Today's changes are recalls. Each event carries a random Link and that of the
// event before it. They tell two histories apart that share numbers but not contents,
// because Redis lost its last writes in an asynchronous failover and counted on.
//
// A receiver of a group's events keeps a Position and asks Next about each of them.
// Its Changes decide what it is shown. The package has no clock and no I/O: what to
// do about a hole is the caller's business.
package stream

import "unicode/utf8"

// Epoch names one life of a group's counters: it is drawn at random when they
// are made. 0 means that nothing has ever been stored.
type Epoch uint64

// Link is the random mark of an event.
type Link uint32

// Position is a place in a group's stream: after message Seq and after change
// Changes, the later of which carries Link. The zero Position is the beginning
// of a group in which nothing had ever been stored.
type Position struct {
	Epoch   Epoch
	Seq     uint64
	Changes uint64
	Link    Link
}

// Kind is what an event is.
type Kind uint8

// The kinds. The numbers are those of gotapi.relay.v1.EventKind.
const (
	Message   Kind = iota + 1 // a data packet
	Tombstone                 // the place of a message that was recalled before it could be delivered
	Recall                    // a recall
	Text                      // a broadcast that is not stored, as text
	Binary                    // a broadcast that is not stored, as binary
)

// Stored reports whether events of this kind have a place in the stream. The
// others are delivered as they come, at most once.
func (k Kind) Stored() bool { return k <= Recall }

// Origin names a publish: the edge process, and the edge's own number for it
// (session in the upper 32 bits, 0 for HTTP). The zero Origin is nobody's.
type Origin struct {
	Edge, ID uint64
}

// Event is one thing that happened in a group. Its byte slices are shared by
// all receivers and must not be changed.
type Event struct {
	Kind Kind
	// Message, Tombstone: its number. Recall: number of the newest message
	// when it was made.
	Seq uint64
	// Recall: its number among the changes.
	Changes uint64
	// Marks of the event before this one and of this one.
	Prev, Link Link
	// Message, Tombstone, Text, Binary.
	Origin Origin
	// Recall: number of the message.
	Target uint64
	// Recall, Tombstone: uuid of the message.
	UUID string
	// Message: the text. Text, Binary: the packet.
	Payload []byte
	// Message, Recall: when it was stored, Unix milliseconds by the history service's
	// clock; 0 if that is not known.
	At int64
	// Whose name members see; zero if the group keeps no names, or there is none.
	By Author
}

// Author is the name of a caller who has published or changed something.
type Author struct {
	Name string
	// It is the name of an API key, not of a user.
	Key bool
}

// MaxAuthorName is the length of the longest name that is kept, in bytes. Longer ones
// do not appear.
const MaxAuthorName = 128

// Valid reports whether a is a name that is kept: not empty, at most MaxAuthorName bytes
// of valid UTF-8.
func (a Author) Valid() bool {
	return a.Name != "" && len(a.Name) <= MaxAuthorName && utf8.ValidString(a.Name)
}

// Names returns the name as that of a user or that of an API key; the other is "".
func (a Author) Names() (user, key string) {
	if a.Key {
		return "", a.Name
	}
	return a.Name, ""
}

// Verdict is what Next returns about an event.
type Verdict uint8

// The verdicts.
const (
	// Follows: the event is the next one; the position has moved.
	Follows Verdict = iota + 1
	// Old: the event's place is before the position; ignore it.
	Old
	// Broken: there is a hole before the event, or it belongs to another
	// history. Only a read of the store after the position can tell.
	Broken
)

// Next moves p over e if e is the stored event that follows p. For an event
// that does not, p stays. An event that is not stored always follows.
func (p *Position) Next(epoch Epoch, e *Event) Verdict {
	if !e.Kind.Stored() {
		return Follows
	}
	if epoch != p.Epoch {
		// Only the first message of a group may follow the zero Position; a
		// group that begins with an adopted list is read from the store.
		if p.Epoch != 0 || e.Kind == Recall || e.Seq != 1 {
			return Broken
		}
		*p = Position{Epoch: epoch, Seq: 1, Link: e.Link}
		return Follows
	}
	if e.Kind == Recall {
		switch {
		case e.Changes <= p.Changes:
			return Old
		case e.Changes != p.Changes+1 || e.Seq != p.Seq || e.Prev != p.Link:
			return Broken
		}
		p.Changes, p.Link = e.Changes, e.Link
		return Follows
	}
	switch {
	case e.Seq <= p.Seq:
		return Old
	case e.Seq != p.Seq+1 || e.Prev != p.Link:
		return Broken
	}
	p.Seq, p.Link = e.Seq, e.Link
	return Follows
}

// Before reports whether p comes before q in the same epoch.
func (p Position) Before(q Position) bool {
	return p.Epoch == q.Epoch && (p.Seq < q.Seq || p.Seq == q.Seq && p.Changes < q.Changes)
}
