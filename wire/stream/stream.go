// Package stream says how the events of one group follow one another.
//
// A group's stored messages and recalls form one sequence. A message has a
// number, Seq, and a recall has a number of its own; both are dense and
// rising. Where a recall stands among the messages is part of it: it comes
// right after the newest message of the moment when it was made. Each event
// carries a random Link and that of the event before it, so that two histories
// which share numbers but not contents (Redis lost its last writes in an
// asynchronous failover and counted on) are told apart.
//
// Whoever receives a group's events keeps a Position and asks Next about each
// of them. There is no clock and no I/O here: what to do about a hole is the
// caller's business.
package stream

// Epoch names one life of a group's counters: it is drawn at random when they
// are made. 0 means that nothing has ever been stored.
type Epoch uint64

// Link is the random mark of an event.
type Link uint32

// Position is a place in a group's stream: after message Seq and after recall
// Recalls, the later of which carries Link. The zero Position is the beginning
// of a group in which nothing had ever been stored.
type Position struct {
	Epoch   Epoch
	Seq     uint64
	Recalls uint64
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

// Stored says whether events of this kind have a place in the stream. The
// others are delivered as they come, at most once.
func (k Kind) Stored() bool { return k <= Recall }

// Origin names a publish: the edge process, and the edge's own number for it
// (session in the upper 32 bits, 0 for HTTP). The zero Origin is nobody's.
type Origin struct {
	Edge, ID uint64
}

// Event is one thing that happened in a group. Its byte slices are shared by
// all who receive it and must not be changed.
type Event struct {
	Kind Kind
	// Message, Tombstone: its number. Recall: number of the newest message
	// when it was made.
	Seq uint64
	// Recall: its number.
	Recalls uint64
	// Marks of the event before this one and of this one.
	Prev, Link Link
	// Message, Tombstone, Text, Binary.
	Origin Origin
	// Recall: number of the message.
	Target uint64
	// Recall: nobody here has got the message, so nobody is to be told.
	Silent bool
	// Recall, Tombstone: uuid of the message.
	UUID string
	// Message: the text. Text, Binary: the packet.
	Payload []byte
}

// Verdict is what Next thinks of an event.
type Verdict uint8

// The verdicts.
const (
	// Follows: the event is the next one; the position has moved.
	Follows Verdict = iota + 1
	// Old: the event stands before the position; ignore it.
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
		case e.Recalls <= p.Recalls:
			return Old
		case e.Recalls != p.Recalls+1 || e.Seq != p.Seq || e.Prev != p.Link:
			return Broken
		}
		p.Recalls, p.Link = e.Recalls, e.Link
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

// Before says whether p stands before q in the same epoch.
func (p Position) Before(q Position) bool {
	return p.Epoch == q.Epoch && (p.Seq < q.Seq || p.Seq == q.Seq && p.Recalls < q.Recalls)
}

// Skips finds the recalls that nobody needs to hear of: those of messages of
// which only the tombstone was delivered. It belongs to one reader of one
// stream and is emptied as the recalls arrive. The zero Skips is ready to use.
type Skips struct {
	seqs map[uint64]struct{}
}

// Mark notes e if it is a tombstone, and makes it Silent if it is the recall
// of a noted one. e is the reader's own copy of the event.
func (s *Skips) Mark(e *Event) {
	switch e.Kind {
	case Tombstone:
		if s.seqs == nil {
			s.seqs = make(map[uint64]struct{})
		}
		s.seqs[e.Seq] = struct{}{}
	case Recall:
		if _, ok := s.seqs[e.Target]; ok && e.Target != 0 {
			delete(s.seqs, e.Target)
			e.Silent = true
		}
	}
}
