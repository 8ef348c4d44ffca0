package feed

import (
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Start is where a follower begins. The zero Start means from now on: after the
// newest event in the store once the subscription holds.
type Start struct {
	// After the message with this uuid.
	AfterUUID string
	// After this position.
	After *stream.Position
	// With so many of the newest messages, if nothing else is set or the start is lost.
	Last int
}

// Sink takes the events of one Follower. Its methods are called one after
// another, under a lock: they return at once and call neither the Hub nor the
// Follower.
type Sink interface {
	// Attached reports the position after which the stream continues. It comes once
	// before everything else, when the subscription is in force and the position is
	// known. It comes again with gap when the events between the last position
	// (or the Start) and at are lost; later events follow at.
	Attached(at stream.Position, gap bool)
	// Deliver takes events, which are shared and must not be changed. It returns
	// false if there is no room, and then has taken none of them: stored events
	// wait in the store until Follower.Resume, others are lost.
	Deliver(epoch stream.Epoch, events []stream.Event) bool
	// Lost reports how many unstored packets were dropped because the sink had no room
	// or the follower was behind. It may come at any time after Attached.
	Lost(packets int)
	// Failed reports that the group cannot be followed. Nothing comes after it.
	Failed(err error)
}

// state is what a follower is doing:
//
//	subscribing -> attaching -> live <-> reading -> full -> reading
//	            |  attaching -> adopting -> live -> full
//	            |-> live
//	            \-> reading
//
// Every state but subscribing can end.
type state uint8

const (
	// It waits for the subscription. Events that arrive are not for it.
	subscribing state = iota
	// It asks for the head of the stream, where it will begin. Events wait.
	attaching
	// The same for a group without counters: reading the group makes them.
	adopting
	// It passes on events that follow its position.
	live
	// It reads the store. Events wait.
	reading
	// The sink has no room. Stored events wait in the store.
	full
	// It was stopped, or has failed.
	ended
)

// Follower passes the events of one group to one sink.
type Follower struct {
	hub   *Hub
	group group.Name
	// Set by Begin.
	sink  Sink
	topic *topic

	// topic.mu guards the rest.

	state state
	// Where to read from until pos is known. Last holds until it is known to be good.
	start Start
	// The sink knows where its events begin.
	attached bool
	// After the last event that the sink was given.
	pos stream.Position
	// Events that wait.
	buffer buffer
	call   call
}

// call is a follower's use of the store: one call at a time, so that the answers
// come in order.
type call struct {
	// A call is queued, under way, or pausing after a failure.
	pending bool
	// Events may have been missed since the call began, so its answer is too old.
	dirty bool
	// Calls that failed in a row.
	failures int
}

// Begin starts the follower. It may call the sink before it returns.
func (f *Follower) Begin(sink Sink) {
	f.sink = sink
	f.hub.insert(f)
}

// Stop ends the follower after Begin. Once Stop has returned, the sink is not
// called any more.
func (f *Follower) Stop() { f.hub.remove(f) }

// Resume reports that the sink has room again. It does nothing unless the sink
// has refused stored events.
func (f *Follower) Resume() {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.state == full {
		f.catchUp(causeSlow)
	}
}

// The caller of every method below holds topic.mu.

// subscribed notes that the subscription holds, for the first time or again.
func (f *Follower) subscribed() {
	switch f.state {
	case subscribing:
		f.open()
	case attaching, adopting, live, reading:
		f.ask() // events may have been missed
	case full, ended: // it reads the store when there is room
	}
}

// open starts f once the subscription holds.
func (f *Follower) open() {
	switch {
	case f.start.After != nil:
		// This position may be the head, so compare before reading anything.
		// Meanwhile pass on what follows.
		f.attach(*f.start.After, false)
		f.state = live
		f.ask()
	case f.start != Start{}:
		f.catchUp(causeStart)
	default:
		f.state = attaching
		f.ask()
	}
}

// attach tells the sink after which position its events begin.
func (f *Follower) attach(at stream.Position, gap bool) {
	f.start, f.attached = Start{Last: f.start.Last}, true
	f.pos = at
	f.sink.Attached(at, gap)
}

// end makes f ignore everything.
func (f *Follower) end() {
	f.state = ended
	f.buffer.take(&f.hub.buffered)
}

// fail ends f because its group cannot be followed.
func (f *Follower) fail(err error) {
	f.end()
	f.sink.Failed(err)
}

// receive takes live events from the bus.
func (f *Follower) receive(epoch stream.Epoch, events []stream.Event) {
	switch f.state {
	case live:
		if rest := f.pass(epoch, events); len(rest) > 0 {
			f.catchUp(causeHole)
			f.keep(epoch, rest)
		}
	case attaching, adopting, reading:
		f.keep(epoch, events)
	case subscribing, full, ended:
		f.drop(events)
	}
}

// pass passes on the events that follow and returns the others, beginning with
// the first that does not follow. If the sink has no room for stored events, f
// is full afterwards and there are no others.
func (f *Follower) pass(epoch stream.Epoch, events []stream.Event) (rest []stream.Event) {
	for rest = events; len(rest) > 0; {
		next, others, after := following(f.pos, epoch, rest)
		if len(next) == 0 {
			return others
		}
		if rest = others; f.deliver(epoch, next, after) {
			continue
		}
		f.drop(next)
		if after != f.pos {
			f.drop(rest)
			f.state = full
			return nil
		}
	}
	return nil
}

// deliver gives events to the sink and moves on to the position after them. If
// the sink refuses, nothing has happened.
func (f *Follower) deliver(epoch stream.Epoch, events []stream.Event, after stream.Position) bool {
	if !f.sink.Deliver(epoch, events) {
		return false
	}
	f.pos = after
	return true
}

// keep lets live events wait.
func (f *Follower) keep(epoch stream.Epoch, events []stream.Event) {
	if len(events) == 0 || f.buffer.add(epoch, events, &f.hub.buffered) {
		return
	}
	f.drop(events)
	f.call.dirty = true // a call is pending in every state that keeps events
}

// drop notes that events are not passed on. The store has the stored ones; the others
// are lost.
func (f *Follower) drop(events []stream.Event) {
	lost := len(unstored(events))
	if lost == 0 {
		return
	}
	f.hub.metrics.dropped.Add(float64(lost))
	if f.attached && f.state != ended {
		f.sink.Lost(lost)
	}
}

// catchUp begins to read the store after f's position.
func (f *Follower) catchUp(why cause) {
	f.state = reading
	f.hub.metrics.catchUps[why].Inc()
	f.ask()
}

// goLive passes on the events that waited, now that f is where the store was. If
// events may have been missed meanwhile, f reads again first.
func (f *Follower) goLive() {
	if f.call.dirty {
		f.state = reading
		return
	}
	f.state = live
	for _, a := range f.buffer.take(&f.hub.buffered) {
		switch f.state {
		case live:
			if rest := f.pass(a.epoch, a.events); len(rest) > 0 {
				// They are of another epoch, or behind a hole made meanwhile. The
				// store has the stored ones: one that never follows must not
				// stay in the way.
				f.catchUp(causeHole)
				f.keep(a.epoch, unstored(rest))
			}
		case reading:
			f.keep(a.epoch, unstored(a.events))
		default:
			f.drop(a.events)
		}
	}
}

// unstored returns the events that have no position in the stream.
func unstored(events []stream.Event) (picked []stream.Event) {
	for i := range events {
		if !events[i].Kind.Stored() {
			picked = append(picked, events[i])
		}
	}
	return picked
}
