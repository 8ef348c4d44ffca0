package room

import (
	"slices"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// delivery is one event on its way to the members of a room.
type delivery struct {
	event *stream.Event
	epoch stream.Epoch
	// The session of this edge that published it; 0: another's.
	sender uint32
	// What everybody else gets, if it is public.
	frame  ws.Frame
	public bool
}

// round is a batch of deliveries to one room. It is kept for the next batch, so
// that its slices are.
type round struct {
	deliveries []delivery
	// The frames of those that are for everybody.
	frames []ws.Frame
	// Who gets something else.
	senders []uint32
	// There are recalls: members that have resumed may need others than the
	// room does.
	recalls bool
	// For one member that gets something else.
	own []ws.Frame
}

func (b *round) reset() {
	clear(b.deliveries)
	clear(b.frames)
	clear(b.own)
	b.deliveries, b.frames, b.senders = b.deliveries[:0], b.frames[:0], b.senders[:0]
	b.recalls = false
}

// deliver passes on what follows.
func (r *Room) deliver(channel uint32, epoch stream.Epoch, events []stream.Event, b *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channel != channel || !r.live {
		return
	}
	whole := r.accept(epoch, events, b)
	r.fanOut(b)
	b.reset()
	if !whole {
		r.reattach()
	}
}

// accept moves the position over events. It returns false if one does not
// follow; then it and the rest are left.
func (r *Room) accept(epoch stream.Epoch, events []stream.Event, b *round) bool {
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
		if e.Kind == stream.Tombstone || e.Kind == stream.Recall {
			own := *e
			r.skips.Mark(&own)
			r.recalls.add(&own)
			e = &own
		}
		d := delivery{event: e, epoch: epoch, sender: r.registry.sender(e)}
		d.frame, d.public = publicFrame(e)
		b.add(&d)
		r.passed++
		if r.catchers > 0 {
			r.recent.add(r.passed, &d)
		}
	}
	return true
}

func (b *round) add(d *delivery) {
	b.deliveries = append(b.deliveries, *d)
	if d.sender != 0 {
		b.senders = append(b.senders, d.sender)
	}
	b.recalls = b.recalls || d.event.Kind == stream.Recall
	if d.public && !d.event.Silent {
		b.frames = append(b.frames, d.frame)
	}
}

// largeRoom is from how many members on a room's frames wait for those of
// smaller ones.
const largeRoom = 64

// queue gives frames to m, among so many members who get some.
func (r *Room) queue(m *Member, frames []ws.Frame) {
	if len(r.members) >= largeRoom {
		m.out.SendBulk(frames)
	} else {
		m.out.SendAll(frames)
	}
}

// fanOut gives the round to every member. Most get the same frames in one step.
func (r *Room) fanOut(b *round) {
	if len(b.deliveries) == 0 {
		return
	}
	same := 0
	for _, m := range r.members {
		switch {
		case m.state == catching:
		case b.common(m):
			r.queue(m, b.frames)
			same++
		default:
			r.send(m, b)
		}
	}
	r.registry.metrics.deliveries.Add(float64(same * len(b.frames)))
}

// common says whether m gets what everybody gets.
func (b *round) common(m *Member) bool {
	if m.state != live || len(m.owed) > 0 || b.recalls && (m.resumed != nil || m.recalled != nil || m.told != nil) {
		return false
	}
	for _, s := range b.senders {
		if s == m.session {
			return false
		}
	}
	return true
}

// send gives m its own view of the round.
func (r *Room) send(m *Member, b *round) {
	v := view{member: m, frames: b.own[:0]}
	for i := range b.deliveries {
		d := &b.deliveries[i]
		if m.state == ahead {
			switch m.pos.Next(d.epoch, d.event) {
			case stream.Follows:
			case stream.Old:
				continue
			case stream.Broken:
				m.lose() // it has read another history than the room gets
				return
			}
		}
		v.add(d)
	}
	if m.state == ahead && m.pos == r.pos {
		m.state = live
	}
	v.send()
	b.own = v.frames
}

// view is what one member gets of some deliveries.
type view struct {
	member *Member
	frames []ws.Frame
	acks   int
}

func (v *view) add(d *delivery) {
	e, m := d.event, v.member
	switch {
	case d.sender == m.session:
		if f, ok := senderFrame(e); ok {
			v.frames = append(v.frames, f)
			v.acks++
			m.ackedInPlace(publication(e))
		}
		if e.Kind == stream.Tombstone {
			m.recalled = append(m.recalled, e.Seq)
		}
	case e.Kind == stream.Recall && m.silent(e):
	case d.public:
		v.frames = append(v.frames, d.frame)
		if e.Kind == stream.Recall && (m.Resumes() || e.Silent) {
			m.tell(e.Target)
		}
	}
	if e.Kind.Stored() {
		v.due(d.epoch, e.Seq)
	}
}

// silent says whether m need not hear of a recall.
func (m *Member) silent(e *stream.Event) bool {
	if slices.Contains(m.told, e.Target) {
		return true
	}
	if i := slices.Index(m.recalled, e.Target); i >= 0 {
		m.recalled = slices.Delete(m.recalled, i, i+1)
		return false
	}
	if m.resumed == nil || e.Target == 0 || e.Target > m.resumed.upTo {
		return e.Silent
	}
	own := *e
	own.Silent = false
	m.resumed.skips.Mark(&own)
	return own.Silent
}

// due adds the acks that are due at seq.
func (v *view) due(epoch stream.Epoch, seq uint64) {
	frames, acks := v.member.due(v.frames, epoch, seq)
	v.frames, v.acks = frames, v.acks+acks
}

// send queues the frames.
func (v *view) send() {
	m := v.member
	m.room.queue(m, v.frames)
	for range v.acks {
		m.acked()
	}
	metrics := m.room.registry.metrics
	metrics.acks.Add(float64(v.acks))
	metrics.deliveries.Add(float64(len(v.frames) - v.acks))
}
