package feed

import (
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Start is where a follower begins. The zero Start is from now on: after what
// the store has once the subscription holds.
type Start struct {
	// After the message with this uuid.
	AfterUUID string
	// After this position.
	After *stream.Position
}

// Sink takes what a Follower passes on. Its methods are called one after
// another, under a lock: they return at once and call neither the Hub nor the
// Follower.
type Sink interface {
	// Attached says that the stream goes on from at. It comes once before
	// everything else, when the subscription holds and the place is known; and
	// again with gap, when what stood between the place reached so far (or
	// asked for) and at is lost. Then what follows begins at at.
	Attached(at stream.Position, gap bool)
	// Deliver takes events, which are shared and must not be changed, or returns
	// false because there is no room: then it has taken none of them. Stored
	// ones wait in the store until Follower.Resume, others are lost.
	Deliver(epoch stream.Epoch, events []stream.Event) bool
	// Failed says that the group cannot be followed. Nothing comes after it.
	Failed(err error)
}

// phase is what a follower is doing. Between them it goes like this:
//
//	subscribing -> attaching -> live <-> reading
//	            \-> live            \-> full -> reading
//	            \-> reading
type phase uint8

const (
	// The subscription does not hold yet. Events that come are not for us.
	subscribing phase = iota
	// It will start from the head, which is being asked for. Events wait.
	attaching
	// Events that follow are passed on.
	live
	// The store is being read. Events wait.
	reading
	// The sink has no room. Stored events wait in the store.
	full
	// Stopped or failed.
	ended
)

// Follower passes the events of one group to one sink.
type Follower struct {
	hub  *Hub
	name group.Name
	sink Sink
	// Set by Begin.
	topic *topic

	// All that follows is guarded by topic.mu.

	phase phase
	// Where the next read begins while pos is not known.
	start Start
	pos   stream.Position
	// The sink has got every message after this one, up to pos.
	from  uint64
	skips stream.Skips
	// attaching, reading: live events, and whether some that are stored did not
	// fit, or may have been missed, so that another read is needed.
	buffer buffer
	missed bool
	// attaching: the store has no counters for the group yet.
	unknown bool
	// The place of the last poll at which the head was elsewhere.
	behind *stream.Position
	check  check
	job    job
	// Failed calls of the store in a row, and the timer of the next one.
	failures int
	retry    *time.Timer
}

// Begin starts the follower. The sink may be called before Begin returns.
func (f *Follower) Begin() { f.hub.insert(f) }

// Stop ends the follower. It is called after Begin, and the sink is not
// called once it has returned.
func (f *Follower) Stop() { f.hub.remove(f) }

// Resume says that the sink has room again. It is of no effect on a follower
// whose events the sink has not refused.
func (f *Follower) Resume() {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.phase == full {
		f.catchUp(causeSlow)
	}
}

// Prospect is what a follower can say of a message that was just stored.
type Prospect uint8

const (
	// Unknown means that it does not follow the stream now, or that of another life.
	Unknown Prospect = iota
	// Coming means that the sink will get it, unless the follower ends or is told of a gap.
	Coming
	// Passed means that the sink has got it.
	Passed
)

// Expect is Hub.Expect for the follower's group, and says whether its sink has
// got the message, or will.
func (f *Follower) Expect(epoch stream.Epoch, seq uint64) Prospect {
	f.topic.mu.Lock()
	if f.phase == ended {
		// The group may have another topic by now.
		f.topic.mu.Unlock()
		f.hub.Expect(f.name, epoch, seq)
		return Unknown
	}
	defer f.topic.mu.Unlock()
	f.topic.expect(place{epoch, seq})
	switch {
	case f.phase != live || f.pos.Epoch != epoch || seq <= f.from:
		return Unknown
	case f.pos.Seq < seq:
		return Coming
	default:
		return Passed
	}
}

// end makes f deaf. The caller holds topic.mu, as for everything below.
func (f *Follower) end() {
	f.phase = ended
	f.buffer.take(&f.hub.buffered)
	if f.retry != nil {
		f.retry.Stop()
	}
}

// fail ends f because its group cannot be had.
func (f *Follower) fail(err error) {
	f.end()
	f.sink.Failed(err)
}

// open starts f, now that the subscription holds.
func (f *Follower) open() {
	switch {
	case f.start.After != nil:
		// What it asks for may be the head: that is found out first, together
		// with others. Until then what follows is passed on.
		f.begin(*f.start.After, false)
		f.phase = live
		f.compareWithHead()
	case f.start.AfterUUID != "":
		f.catchUp(causeStart)
	default:
		f.phase = attaching
		f.compareWithHead()
	}
}

// subscribed hears that the subscription holds, for the first time or again.
func (f *Follower) subscribed() {
	switch f.phase {
	case subscribing:
		f.open()
	case attaching, live:
		f.compareWithHead()
	case reading:
		f.missed = true
	case full, ended: // it reads the store when there is room
	}
}

// begin tells the sink where what it gets begins.
func (f *Follower) begin(at stream.Position, gap bool) {
	f.pos, f.from = at, at.Seq
	f.sink.Attached(at, gap)
}

// attach makes f live from the head on.
func (f *Follower) attach(head stream.Position) {
	f.begin(head, false)
	f.goLive()
}

// heard takes live events.
func (f *Follower) heard(epoch stream.Epoch, events []stream.Event) {
	switch f.phase {
	case live:
		rest, ok := f.pass(epoch, events)
		if !ok {
			f.phase = full
			return
		}
		if len(rest) > 0 {
			f.catchUp(causeHole)
			f.keep(epoch, rest)
		}
	case attaching, reading:
		f.keep(epoch, events)
	default:
		f.drop(events)
	}
}

// keep lets live events wait.
func (f *Follower) keep(epoch stream.Epoch, events []stream.Event) {
	if len(events) == 0 || f.buffer.add(epoch, events, &f.hub.buffered) {
		return
	}
	f.drop(events)
	f.missed = true
}

// drop counts the events that are lost by not being passed on.
func (f *Follower) drop(events []stream.Event) {
	for i := range events {
		if !events[i].Kind.Stored() {
			f.hub.metrics.dropped.Inc()
		}
	}
}

// pass passes on what follows. rest begins with the first event that does not.
// It returns false when the sink has no room for stored events.
func (f *Follower) pass(epoch stream.Epoch, events []stream.Event) (rest []stream.Event, ok bool) {
	pos := f.pos
	next, rest, stored := follow(&pos, epoch, events)
	if len(next) == 0 {
		return rest, true
	}
	if f.deliver(epoch, next) {
		f.pos = pos
		return rest, true
	}
	f.drop(next)
	return rest, !stored
}

// follow moves pos over events. next are those that follow it, rest those from
// the first on that does not; old ones are left out. stored says whether some
// of next are.
func follow(pos *stream.Position, epoch stream.Epoch, events []stream.Event) (next, rest []stream.Event, stored bool) {
	next = events[:0:0]
	// events[from:i] is next, unless old events had to be left out of its middle.
	from, whole := 0, true
	for i := range events {
		switch pos.Next(epoch, &events[i]) {
		case stream.Follows:
			stored = stored || events[i].Kind.Stored()
			if !whole {
				next = append(next, events[i])
			}
		case stream.Old:
			if whole {
				next = append(next, events[from:i]...)
				whole = len(next) == 0
				from = i + 1
			}
		case stream.Broken:
			if whole {
				next = events[from:i]
			}
			return next, events[i:], stored
		}
	}
	if whole {
		next = events[from:]
	}
	return next, nil, stored
}

// deliver gives events to the sink, with recalls that nobody needs to hear of
// marked. If they are refused, nothing has happened.
func (f *Follower) deliver(epoch stream.Epoch, events []stream.Event) bool {
	events = f.silence(events)
	if f.sink.Deliver(epoch, events) {
		return true
	}
	for i := range events {
		if e := &events[i]; e.Kind == stream.Recall && e.Silent {
			// As if the recall had not been seen: it will be read again.
			f.skips.Mark(&stream.Event{Kind: stream.Tombstone, Seq: e.Target})
		}
	}
	return false
}

// silence marks recalls in a copy: events are shared.
func (f *Follower) silence(events []stream.Event) []stream.Event {
	own := false
	for i := range events {
		if k := events[i].Kind; k != stream.Recall && k != stream.Tombstone {
			continue
		}
		e := events[i]
		f.skips.Mark(&e)
		if e.Silent == events[i].Silent {
			continue
		}
		if !own {
			events = append([]stream.Event(nil), events...)
			own = true
		}
		events[i] = e
	}
	return events
}

// goLive passes on what waited, now that f stands where the store did.
func (f *Follower) goLive() {
	if f.missed {
		f.missed = false
		f.phase = reading
		f.askStore()
		return
	}
	f.phase = live
	waited := f.buffer.take(&f.hub.buffered)
	for i, h := range waited {
		rest, ok := f.pass(h.epoch, h.events)
		if !ok {
			f.phase = full
			return
		}
		if len(rest) > 0 {
			// It is of another life of the group, or behind a hole made
			// meanwhile. The store knows, so stored events need not be kept:
			// one that never follows would be in the way for ever.
			f.catchUp(causeHole)
			f.keep(h.epoch, unstored(rest))
			for _, later := range waited[i+1:] {
				f.keep(later.epoch, unstored(later.events))
			}
			return
		}
	}
}

// unstored picks the events that have no place in the stream.
func unstored(events []stream.Event) (picked []stream.Event) {
	for i := range events {
		if !events[i].Kind.Stored() {
			picked = append(picked, events[i])
		}
	}
	return picked
}
