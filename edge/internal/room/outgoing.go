package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// outgoing is what one member gets of some deliveries: the frames that all get, but
// acks in place of its own messages, and the answers to its other publishes where they
// are due.
type outgoing struct {
	member *Member
	frames []ws.Frame
	// How many of the frames are acks, how many bytes, and what these settle.
	acks, ackBytes int
	settled        size
}

// add adds a delivery, and the acks that are due after it. The caller holds the
// room's lock.
func (o *outgoing) add(d *delivery) {
	o.show(d)
	if o.member.waits && d.Kind.Stored() {
		o.ackResults(d.Pos)
	}
}

// show adds a delivery.
func (o *outgoing) show(d *delivery) {
	m := o.member
	if d.sender != 0 && d.sender == m.session && o.isOwn(d) {
		return
	}
	if m.shown(d) {
		if f := d.frame(m); !f.IsZero() {
			o.frames = append(o.frames, f)
		}
	}
}

// isOwn takes a delivery that the member has published: its own message's place is the
// ack's. Its own packets that are not stored do not come back. It returns false if the
// member gets the event, as others do.
func (o *outgoing) isOwn(d *delivery) bool {
	if d.Kind != stream.Message && d.Kind != stream.Tombstone {
		return true
	}
	one, ok := o.member.conn.pending.settleOwn(publication(d.Event.Event), o.member)
	var p *Publish
	if ok {
		p = &one.Publish
		o.settle(&one)
	}
	f, ok := o.member.conn.Dialect.Own(&d.Event, p)
	if ok {
		o.ack(f)
	}
	return ok
}

// ackResults adds the answers that are due when the member has got to pos.
func (o *outgoing) ackResults(pos stream.Position) {
	o.ackWhere(func(r *result) bool { return r.isDue(pos) })
}

// ackWhere adds the answers that are due. That to a duplicate which is recalled is
// followed by the recall, for members that are shown changes once and have not seen it.
func (o *outgoing) ackWhere(due func(*result) bool) {
	m := o.member
	ready, more := m.conn.pending.settleResults(m, due)
	for i := range ready {
		one := &ready[i]
		o.settle(one)
		o.ack(m.conn.Dialect.Answer(&one.Publish, &one.result.Receipt))
		if one.result.Recalled && m.changes != nil && m.changes.Learn(one.result.Seq) {
			recall := Event{Event: &stream.Event{Kind: stream.Recall, UUID: one.UUID}, Group: one.Group}
			o.frames = append(o.frames, m.conn.Dialect.Event(&recall))
		}
	}
	m.waits = more
}

func (o *outgoing) ack(f ws.Frame) {
	if f.IsZero() {
		return
	}
	o.frames = append(o.frames, f)
	o.acks++
	o.ackBytes += f.Size()
}

func (o *outgoing) settle(one *publish) {
	o.settled.packets++
	o.settled.bytes += int(one.bytes)
}

// send queues the frames. The caller holds the room's lock.
func (o *outgoing) send() {
	m := o.member
	m.out.Push(m.share(), o.frames, o.ackBytes, m.room.isLarge())
	o.sent()
}

// sent notes that the frames are queued.
func (o *outgoing) sent() {
	if o.settled.packets > 0 {
		o.member.conn.pending.release(o.settled)
	}
	metrics := o.member.room.registry.metrics
	metrics.acks.Add(float64(o.acks))
	metrics.deliveries.Add(float64(len(o.frames) - o.acks))
}
