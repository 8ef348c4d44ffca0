package room

import (
	"slices"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// delivery is one event on its way to members.
type delivery struct {
	Event
	epoch stream.Epoch
	// The session of this edge that published it; 0: another's.
	sender uint32
	// Those that share the room's changes get it.
	shown bool
	// What members get that did not send it, by dialect. Each is made on first use.
	frames [maxDialects]ws.Frame
}

// place is where a message is in a stream.
type place struct {
	epoch stream.Epoch
	seq   uint64
}

// fill makes a zero delivery that of an event, after which the stream is at pos.
func (d *delivery) fill(edge uint64, g group.Name, epoch stream.Epoch, e *stream.Event, pos stream.Position) {
	d.Event.Event, d.Group, d.Pos = e, g, pos
	d.epoch, d.sender = epoch, sender(edge, e)
}

// frame returns what m gets that did not send it.
func (d *delivery) frame(m *Member) ws.Frame {
	f := &d.frames[m.kind]
	if f.IsZero() {
		*f = m.conn.Dialect.Event(&d.Event)
	}
	return *f
}

// headerSize is about what a frame has beside the event's payload.
const headerSize = 256

// size is about what a member gets of d, in bytes.
func (d *delivery) size() int { return headerSize + len(d.Payload) }

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
	// Where the room was before them.
	from       stream.Position
	deliveries []delivery
	// What most members get, by dialect.
	views [maxDialects]view
	// The sessions that get something else.
	senders []uint32
	// About what a member gets of them, in bytes.
	bytes int
	// There are tombstones or changes: members with changes of their own may get
	// something else.
	changes bool
	// For one member that gets something else.
	own []ws.Frame
}

// view is what most members of one dialect get.
type view struct {
	made   bool
	frames []ws.Frame
}

func (b *batch) reset() {
	clear(b.deliveries)
	clear(b.own)
	for i := range b.views {
		if v := &b.views[i]; v.made {
			clear(v.frames)
			v.made, v.frames = false, v.frames[:0]
		}
	}
	b.deliveries, b.senders, b.bytes, b.changes = b.deliveries[:0], b.senders[:0], 0, false
}

func (b *batch) add(edge uint64, g group.Name, epoch stream.Epoch, e *stream.Event, pos stream.Position) *delivery {
	n := len(b.deliveries)
	b.deliveries = slices.Grow(b.deliveries, 1)[:n+1] // zero, as reset leaves it
	d := &b.deliveries[n]
	d.fill(edge, g, epoch, e, pos)
	if d.sender != 0 {
		b.senders = append(b.senders, d.sender)
	}
	b.bytes += d.size()
	b.changes = b.changes || d.Kind == stream.Recall || d.Kind == stream.Tombstone
	return d
}

// isFor reports whether m gets what most members of its dialect get.
func (b *batch) isFor(m *Member) bool {
	return m.state == live && !m.waits && (m.changes == nil || !b.changes) && !slices.Contains(b.senders, m.session)
}

// view returns what most members of m's dialect get. It is made for the first of them.
func (b *batch) view(m *Member) []ws.Frame {
	v := &b.views[m.kind]
	if v.made {
		return v.frames
	}
	v.made = true
	for i := range b.deliveries {
		d := &b.deliveries[i]
		if !d.shown && !m.traits.EveryChange {
			continue
		}
		if f := d.frame(m); !f.IsZero() {
			v.frames = append(v.frames, f)
		}
	}
	return v.frames
}

// broadcasts returns how many of the deliveries are not stored.
func (b *batch) broadcasts() (n int) {
	for i := range b.deliveries {
		if !b.deliveries[i].Kind.Stored() {
			n++
		}
	}
	return n
}

// deliver passes on the events that follow.
func (r *Room) deliver(channel uint32, epoch stream.Epoch, events []stream.Event, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel || !r.live {
		return
	}
	r.branchAuthors(events)
	b.from = r.pos
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
		d := b.add(r.registry.edge, r.name, epoch, e, r.pos)
		d.shown = r.changes.Show(e)
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
	var frames []ws.Frame
	kind := uint8(maxDialects) // of frames; none yet
	for _, m := range r.members {
		switch {
		case m.state == catching:
			m.miss(b)
		case b.isFor(m):
			if m.kind != kind {
				frames, kind = b.view(m), m.kind
			}
			if m.out.Offer(m.share(), frames, 0, bulk) {
				same += len(frames)
			} else {
				r.fallBehind(m, b)
			}
		default:
			r.send(m, b)
		}
	}
	r.registry.metrics.deliveries.Add(float64(same))
}

// send gives m what it gets of a batch.
func (r *Room) send(m *Member, b *batch) {
	if !m.out.Fits(m.share(), len(b.deliveries), b.bytes) {
		r.fallBehind(m, b)
		return
	}
	o := outgoing{member: m, frames: b.own[:0]}
	broken := false
	for i := range b.deliveries {
		d := &b.deliveries[i]
		if m.state == ahead {
			switch m.catch.pos.Next(d.epoch, d.Event.Event) {
			case stream.Follows:
			case stream.Old:
				continue
			case stream.Broken: // it has read another history than the room gets
				broken = true
			}
		}
		if broken {
			break
		}
		o.add(d)
	}
	o.send()
	b.own = o.frames
	switch {
	case broken:
		r.lose(m)
	case m.state == ahead && m.catch.pos == r.pos:
		m.state, m.catch = live, nil
	}
}

// From largeRoom members on, a room's frames wait for those of smaller ones.
const largeRoom = 64

func (r *Room) isLarge() bool { return len(r.members) >= largeRoom }
