package room

import (
	"sort"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// maxOwed bounds the acks that wait for one member's place in the stream.
const maxOwed = 256

// state is how a member receives its room's events.
type state uint8

const (
	// It joined before the room was live. Nothing was missed so far.
	waiting state = iota
	// Its own reader feeds it from the store.
	catching
	// It has read more of the store than the room has seen: pos tells.
	ahead
	// It gets every event.
	live
	// It is no member any more.
	left
)

// Member is one receiver of a group's events.
type Member struct {
	session uint32
	out     *ws.Outbox
	// Called under the room's lock after an ack was queued; it must not block.
	acked func()
	// Resume after the message with this uuid; "": from now on.
	after string

	// Guarded by the room's lock.

	// Where it is in the roster.
	index int
	room  *Room
	state state
	// Of catching and ahead members: what they have got.
	pos stream.Position
	// The room's count of events when it joined.
	joined uint64
	// Of members that have resumed.
	resumed *resumed
	// Acks of duplicates, by seq, that wait until the member has got the message.
	owed []owed
	// Its own messages that were acked in their place.
	placed placed
	// Count of recalls when it began to hear of them from the room, and what the
	// recalls recalled that it was told of otherwise; all, if it has resumed.
	since uint64
	told  []uint64
	// Its own messages that were recalled before they came back: it has them, so
	// it hears of the recall as nobody else does. Emptied by the recalls.
	recalled []uint64
}

// owed is an ack that is due when the member has got message seq.
type owed struct {
	epoch stream.Epoch
	seq   uint64
	uuid  string
	// Of the publication that is a duplicate.
	number uint32
	// The message has been recalled: whoever sends it again may not know.
	recalled bool
}

// resumed is what a member knows of the messages that it got before it was
// handed over to the room: the room's idea of who has got what does not hold
// for them.
type resumed struct {
	upTo  uint64
	skips stream.Skips
}

// NewMember returns a member for a session that sends as session and receives
// through out. With after, it resumes after the message with that uuid. acked is
// called for each ack that was queued; it must not block, nor call the Registry.
func NewMember(session uint32, out *ws.Outbox, after string, acked func()) *Member {
	return &Member{session: session, out: out, after: after, acked: acked}
}

// Resumes says whether the member needs Registry.CatchUp after Join.
func (m *Member) Resumes() bool { return m.after != "" }

// place is what the member has got of the stream.
func (m *Member) place() stream.Position {
	if m.state == catching || m.state == ahead {
		return m.pos
	}
	return m.room.pos
}

// owe notes an ack for later. It returns false when too many wait.
func (m *Member) owe(o owed) bool {
	if len(m.owed) >= maxOwed {
		return false
	}
	i := sort.Search(len(m.owed), func(i int) bool { return m.owed[i].seq > o.seq })
	m.owed = append(m.owed, owed{})
	copy(m.owed[i+1:], m.owed[i:])
	m.owed[i] = o
	return true
}

// due appends the acks that are due when the member has got everything up to
// seq in epoch, and counts them. The ack of a message that has been recalled is
// followed by the recall, unless the member has been told of it.
func (m *Member) due(frames []ws.Frame, epoch stream.Epoch, seq uint64) (_ []ws.Frame, acks int) {
	for acks < len(m.owed) && m.owed[acks].epoch == epoch && m.owed[acks].seq <= seq {
		o := &m.owed[acks]
		frames = append(frames, ackFrame(o.uuid))
		if o.recalled && !m.knowsOfRecall(o.seq) {
			frames = append(frames, recallFrame(o.uuid))
			m.tell(o.seq)
		}
		acks++
	}
	m.owed = m.owed[acks:]
	if len(m.owed) == 0 {
		m.owed = nil
	}
	return frames, acks
}

// lose ends a member that has missed something.
func (m *Member) lose() {
	m.out.Send(gapFrame)
	m.out.Close(errLost)
}
