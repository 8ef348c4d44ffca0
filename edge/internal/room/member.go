package room

import (
	"sort"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// state is how a member receives its room's events:
//
//	waiting -> live
//	       \-> catching -> ahead -> live
//	                   \-> live
//
// and left after each of them.
type state uint8

const (
	// It joined before the room was attached. It has missed nothing so far.
	waiting state = iota
	// CatchUp feeds it from the store.
	catching
	// It has read more of the store than the room has passed on: up to its pos.
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
	pending *Pending
	// Resume after the message with this uuid; "": from now on.
	after string
	// Its client, as a budget knows it.
	client string

	// Guarded by the room's lock.

	room *Room
	// Where it is in the roster.
	index int
	state state
	// Of catching and ahead members: their place in the stream.
	pos stream.Position
	// The room's count of events when it joined.
	joined uint64
	// When it began to share the room's changes, and its own if it deviates: it has
	// messages that the others have not, or has learned of recalls by itself. Those of
	// a catching member belong to CatchUp.
	mark    uint64
	changes *stream.Changes
	// Its duplicates whose first copy it has not got yet, by seq.
	duplicates []duplicate
}

// duplicate is a publish whose message was stored before.
type duplicate struct {
	number uint32
	// Of the first copy.
	at       place
	recalled bool
}

// place is where a message is in a stream.
type place struct {
	epoch stream.Epoch
	seq   uint64
}

// NewMember returns a member for a session of that client that sends as session. p has
// its publishes, and the outbox for its frames. With after, it resumes after the message with that
// uuid.
func NewMember(session uint32, client, after string, p *Pending) *Member {
	m := &Member{session: session, client: client, out: p.out, pending: p, after: after}
	if m.Resumes() {
		m.changes = new(stream.Changes)
	}
	return m
}

// Resumes reports whether the member needs Registry.CatchUp after Join.
func (m *Member) Resumes() bool { return m.after != "" }

// Result takes what became of a publish of the member, and reports whether it refuses
// the publish: not if the delivery has settled it before. The frame of a refusal is
// queued; a packet that is not stored is refused without one, unless it is not allowed.
func (m *Member) Result(p *relay.Publication, res relay.Result) (refused bool) {
	ok := res.Outcome == relay.Accepted || res.Outcome == relay.Duplicate
	switch {
	case ok && p.Kind == stream.Message && res.Seq > 0:
		m.stored(p.Number, res)
	case ok && p.Kind == stream.Message: // its group stores nothing, so it has no place
		if m.pending.settleWith(p.Number, ackFrame(p.UUID)) {
			m.room.registry.metrics.acks.Inc()
		}
	case ok:
		m.pending.settleWith(p.Number)
	case p.Kind == stream.Message || res.Outcome == relay.Denied:
		return m.pending.settleWith(p.Number, refusalFrame(p.UUID, res))
	default:
		return m.pending.settleWith(p.Number)
	}
	return false
}

// stored: the message of a publish is stored. The delivery of an accepted message
// settles it, in the message's place. If it does not come within a second or two, it
// was lost, and the room reads on from where it is. A duplicate is settled when the
// member has got the first copy.
func (m *Member) stored(number uint32, res relay.Result) {
	if !m.pending.has(number) {
		return // the delivery has settled it
	}
	r := m.room
	r.mu.Lock()
	defer r.mu.Unlock()
	at := place{res.Epoch, res.Seq}
	if res.Outcome == relay.Accepted {
		r.expect(at)
		return
	}
	if res.Recalled {
		m.branch()
	}
	m.postpone(duplicate{number: number, at: at, recalled: res.Recalled})
	if r.known && (m.state == live || m.state == ahead) {
		o := outgoing{member: m}
		o.ackDuplicates(m.position())
		o.send()
	}
}

// position is how far the member has got.
func (m *Member) position() stream.Position {
	if m.state == catching || m.state == ahead {
		return m.pos
	}
	return m.room.pos
}

// branch gives the member changes of its own.
func (m *Member) branch() {
	if m.changes == nil {
		m.changes = m.room.changes.Branch(m.mark)
	}
}

// postpone lets a duplicate wait for its first copy.
func (m *Member) postpone(d duplicate) {
	i := sort.Search(len(m.duplicates), func(i int) bool { return m.duplicates[i].at.seq > d.at.seq })
	m.duplicates = append(m.duplicates, duplicate{})
	copy(m.duplicates[i+1:], m.duplicates[i:])
	m.duplicates[i] = d
}

// shown reports whether the member, which did not send it, is shown an event.
func (m *Member) shown(d *delivery) bool {
	if m.changes == nil {
		return d.shown
	}
	return m.changes.Show(d.event)
}

// catches reports whether the room keeps its recent events for the member.
func (m *Member) catches() bool { return m.Resumes() && m.state <= catching }

// closeLost ends a member that has missed something.
func (m *Member) closeLost() {
	m.out.Send(gapFrame)
	m.out.Close(errLost)
	m.pending.Wake()
}
