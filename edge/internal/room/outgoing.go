package room

import (
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// outgoing is what one member gets of some deliveries: the frames that all get, but
// acks in place of its own messages, and the acks of its duplicates where they are due.
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
	if d.event.Kind.Stored() {
		o.ackDuplicates(stream.Position{Epoch: d.epoch, Seq: d.event.Seq})
	}
}

// show adds a delivery.
func (o *outgoing) show(d *delivery) {
	switch {
	case d.sender == o.member.session:
		o.ackOwn(d.event)
	case o.member.shown(d):
		o.frames = append(o.frames, d.frame)
	}
}

// ackOwn puts the ack in place of the member's own message. Its own broadcasts have
// no ack, and do not come back.
func (o *outgoing) ackOwn(e *stream.Event) {
	if e.Kind != stream.Message && e.Kind != stream.Tombstone {
		return
	}
	uuid, ok := o.settle(publication(e))
	if !ok { // it was refused with 504 before
		uuid = uuidOf(e)
	}
	o.ack(uuid)
}

// ackDuplicates adds the acks that are due when the member has got to pos. The ack
// of a message that is recalled is followed by the recall, if that is news.
func (o *outgoing) ackDuplicates(pos stream.Position) {
	m, n := o.member, 0
	for ; n < len(m.duplicates); n++ {
		d := &m.duplicates[n]
		if d.at.epoch != pos.Epoch || d.at.seq > pos.Seq {
			break
		}
		uuid, ok := o.settle(d.number)
		if !ok {
			continue // it was its own first copy
		}
		o.ack(uuid)
		if d.recalled && m.changes.Learn(d.at.seq) {
			o.frames = append(o.frames, recallFrame(uuid))
		}
	}
	if m.duplicates = m.duplicates[n:]; len(m.duplicates) == 0 {
		m.duplicates = nil
	}
}

func (o *outgoing) ack(uuid string) {
	f := ackFrame(uuid)
	o.frames = append(o.frames, f)
	o.acks++
	o.ackBytes += f.Size()
}

func (o *outgoing) settle(number uint32) (uuid string, ok bool) {
	one, ok := o.member.pending.settle(number)
	if ok {
		o.settled.packets++
		o.settled.bytes += one.bytes
	}
	return one.uuid, ok
}

// send queues the frames. The caller holds the room's lock.
func (o *outgoing) send() {
	o.member.out.Deliver(o.frames, o.ackBytes, o.member.room.isLarge())
	o.sent()
}

// sent notes that the frames are queued.
func (o *outgoing) sent() {
	if o.settled.packets > 0 {
		o.member.pending.release(o.settled)
	}
	metrics := o.member.room.registry.metrics
	metrics.acks.Add(float64(o.acks))
	metrics.deliveries.Add(float64(len(o.frames) - o.acks))
}
