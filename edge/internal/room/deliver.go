package room

import (
	"slices"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// delivery is one event on its way to members.
type delivery struct {
	event *stream.Event
	epoch stream.Epoch
	// The session of this edge that published it; 0: another's.
	sender uint32
	// What members get that did not send it; none for a tombstone. It is made once
	// for all of them.
	frame ws.Frame
	// Those that share the room's changes get it.
	shown bool
}

// sender returns the session of the edge that published e; 0 if it is none.
func sender(edge uint64, e *stream.Event) uint32 {
	if e.Origin.Edge != edge {
		return 0
	}
	return uint32(e.Origin.ID >> 32)
}

// publication returns the sender's number of the publish that became e.
func publication(e *stream.Event) uint32 { return uint32(e.Origin.ID) }

// batch is some deliveries to one room. It is kept for the next ones, so that its
// slices are.
type batch struct {
	deliveries []delivery
	// The frames of those that are shown.
	frames []ws.Frame
	// The sessions that get something else.
	senders []uint32
	// There are tombstones or recalls: members with changes of their own may get
	// something else.
	changes bool
	// For one member that gets something else.
	own []ws.Frame
}

func (b *batch) reset() {
	clear(b.deliveries)
	clear(b.frames)
	clear(b.own)
	b.deliveries, b.frames, b.senders, b.changes = b.deliveries[:0], b.frames[:0], b.senders[:0], false
}

func (b *batch) add(edge uint64, epoch stream.Epoch, e *stream.Event, shown bool) *delivery {
	b.deliveries = append(b.deliveries, delivery{
		event: e, epoch: epoch, sender: sender(edge, e), frame: eventFrame(e), shown: shown,
	})
	d := &b.deliveries[len(b.deliveries)-1]
	if d.sender != 0 {
		b.senders = append(b.senders, d.sender)
	}
	if d.shown {
		b.frames = append(b.frames, d.frame)
	}
	b.changes = b.changes || e.Kind == stream.Recall || e.Kind == stream.Tombstone
	return d
}

// isFor reports whether m gets the batch's frames as they are.
func (b *batch) isFor(m *Member) bool {
	return m.state == live && len(m.duplicates) == 0 && (m.changes == nil || !b.changes) &&
		!slices.Contains(b.senders, m.session)
}

// deliver passes on the events that follow.
func (r *Room) deliver(channel uint32, epoch stream.Epoch, events []stream.Event, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel || !r.live {
		return
	}
	r.branchAuthors(events)
	whole := r.accept(epoch, events, b)
	r.fanOut(b)
	b.reset()
	if !whole {
		r.reattach()
	}
}

// branchAuthors finds the members whose messages come back recalled: unlike the
// others they have the message, and are shown its recall.
func (r *Room) branchAuthors(events []stream.Event) {
	for i := range events {
		if events[i].Kind != stream.Tombstone {
			continue
		}
		author := sender(r.registry.edge, &events[i])
		for _, m := range r.members {
			if m.session == author {
				m.branch()
			}
		}
	}
}

// accept moves the position over events. It returns false if one does not
// follow; then it and the rest are left.
func (r *Room) accept(epoch stream.Epoch, events []stream.Event, b *batch) bool {
	for i := range events {
		e := &events[i]
		switch r.pos.Next(epoch, e) {
		case stream.Follows:
		case stream.Old:
			continue
		case stream.Broken:
			return false
		}
		if e.Kind.Stored() {
			r.broken = 0
		}
		if e.Kind == stream.Recall {
			r.registry.metrics.recalls.Inc()
		}
		d := b.add(r.registry.edge, epoch, e, r.changes.Show(e))
		r.passed++
		if r.catchers > 0 {
			r.recent.add(r.passed, d)
		}
	}
	return true
}

// fanOut gives a batch to every member. Most get the same frames in one step.
func (r *Room) fanOut(b *batch) {
	if len(b.deliveries) == 0 {
		return
	}
	same, bulk := 0, r.isLarge()
	for _, m := range r.members {
		switch {
		case m.state == catching:
		case b.isFor(m):
			m.out.Deliver(b.frames, 0, bulk)
			same++
		default:
			r.send(m, b)
		}
	}
	r.registry.metrics.deliveries.Add(float64(same * len(b.frames)))
}

// send gives m what it gets of a batch.
func (r *Room) send(m *Member, b *batch) {
	o := outgoing{member: m, frames: b.own[:0]}
	for i := range b.deliveries {
		d := &b.deliveries[i]
		if m.state == ahead {
			switch m.pos.Next(d.epoch, d.event) {
			case stream.Follows:
			case stream.Old:
				continue
			case stream.Broken:
				m.closeLost() // it has read another history than the room gets
				return
			}
		}
		o.add(d)
	}
	if m.state == ahead && m.pos == r.pos {
		m.state = live
	}
	o.send()
	b.own = o.frames
}

// From largeRoom members on, a room's frames wait for those of smaller ones.
const largeRoom = 64

func (r *Room) isLarge() bool { return len(r.members) >= largeRoom }
