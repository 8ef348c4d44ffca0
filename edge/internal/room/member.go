package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// state is how a member receives its room's events:
//
//	waiting -> live
//	       \-> catching -> ahead -> live
//	                   \-> live
//	live, ahead -> catching  its share of the queue is full
//	            -> adrift -> live  events are lost
//
// and left after each of them.
type state uint8

const (
	// It joined before the room was attached. It has missed nothing so far.
	waiting state = iota
	// It is fed from the store.
	catching
	// It has read more of the store than the room has passed on: up to its place.
	ahead
	// It gets every event.
	live
	// Events were lost. It goes on where the room does, which is not known yet.
	adrift
	// It is no member any more.
	left
)

// Member is a cursor of one connection in one group.
//
// There are very many. What most of them do not need is behind pointers, and what the
// fan-out looks at comes first.
type Member struct {
	// Of its conn.
	out     *ws.Outbox
	session uint32
	kind    uint8
	traits  Traits

	// Guarded by the room's lock.

	state state
	// Its own changes, if it deviates from the room's: it has messages that the others
	// have not, or has learned of recalls by itself.
	changes *stream.Changes
	// What it has in the queue, if its dialect has shares.
	queued ws.Share
	// It has results that are not due (Pending).
	waits bool
	// Start.Uncounted.
	uncounted bool
	// Where it is in the roster.
	index int32
	conn  *Conn
	room  *Room
	// What it needs until it is live.
	catch *catchUp
	// When it began to share the room's changes.
	mark uint64
}

// catchUp is what a member needs until it is live.
type catchUp struct {
	start Start
	// The join is answered, and pos known.
	answered bool
	// It was live before, and its share was full.
	fallen bool
	// The join cannot be answered.
	failed bool
	// Its place in the stream.
	pos stream.Position
	// The room's count of events when it joined.
	joined uint64
	// Reads in a row that have brought nothing.
	idle int
	// Closed when the join is answered or has failed; nil: nobody waits for that.
	done chan struct{}
}

// NewMember returns a member that has not joined.
func (c *Conn) NewMember(start Start) *Member {
	m := &Member{
		conn: c, out: c.Out, session: c.Session, kind: c.kind, traits: c.traits, uncounted: start.Uncounted, catch: &catchUp{start: start},
	}
	if start.reads() && !m.traits.EveryChange {
		m.changes = new(stream.Changes)
	}
	return m
}

// share is what the member's frames count in; nil: nothing.
func (m *Member) share() *ws.Share {
	if m.traits.Shares {
		return &m.queued
	}
	return nil
}

// stored takes the result of a publish of m, and reports whether it has to wait until m
// has come to the message's place.
func (m *Member) stored(number uint32, res *relay.Result) (waits bool) {
	r := m.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return false
	}
	one := &result{Receipt: *receiptOf(res), epoch: res.Epoch}
	if !m.conn.pending.remember(number, one) {
		return true // it is settled
	}
	m.waits = true
	if one.Recalled {
		m.branch()
	}
	if !one.Duplicate {
		r.expect(place{res.Epoch, res.Seq})
	}
	if r.known && (m.state == live || m.state == ahead) {
		o := outgoing{member: m}
		o.ackResults(m.position())
		o.send()
	}
	return true
}

// position is how far the member has got.
func (m *Member) position() stream.Position {
	if m.state == catching || m.state == ahead {
		return m.catch.pos
	}
	return m.room.pos
}

// branch gives the member changes of its own, unless it is shown all.
func (m *Member) branch() {
	if m.changes == nil && !m.traits.EveryChange {
		m.changes = m.room.changes.Branch(m.mark)
	}
}

// shown reports whether the member, which did not send it, is shown an event.
func (m *Member) shown(d *delivery) bool {
	switch {
	case m.changes != nil:
		return m.changes.Show(d.Event.Event)
	case m.traits.EveryChange:
		return true
	default:
		return d.shown
	}
}

// catches reports whether the room keeps its recent events for the member.
func (m *Member) catches() bool {
	return m.state == catching || m.state == waiting && m.catch.start.reads()
}

// push queues a frame of the member's own, if it is one.
func (m *Member) push(f ws.Frame) {
	if !f.IsZero() {
		m.out.Push(m.share(), []ws.Frame{f}, f.Size(), false)
	}
}

// end ends the connection after a frame.
func (m *Member) end(last ws.Frame, cause *ws.CloseError) {
	m.push(last)
	m.out.Close(cause) // of no effect if it is ending already
	m.conn.pending.Wake()
}
