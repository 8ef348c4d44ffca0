package roomtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Log is the stored stream of one group.
type Log struct {
	epoch   stream.Epoch
	events  []stream.Event
	places  []stream.Position // after each event
	trimmed int               // events that are gone
	seqs    map[string]uint64
	times   map[uint64]int64 // when each message was stored
}

// Began is the time of the first event of a group, Unix milliseconds. Each later one is
// stored a millisecond later.
const Began = 1_800_000_000_000

// Head is the place after the last event.
func (l *Log) Head() stream.Position {
	if len(l.places) == 0 {
		return stream.Position{}
	}
	return l.places[len(l.places)-1]
}

// At is the place after the first n events.
func (l *Log) At(n int) stream.Position {
	if n == 0 {
		return stream.Position{}
	}
	return l.places[n-1]
}

// Index returns how many events there are before a place, which is written as its
// numbers, "SEQ.CHANGES".
func (l *Log) Index(place string) (n int, ok bool) {
	for n := range len(l.places) + 1 {
		if at := l.At(n); place == fmt.Sprintf("%d.%d", at.Seq, at.Changes) {
			return n, true
		}
	}
	return 0, false
}

// Events returns what is stored, trimmed or not. A recalled message is a Tombstone.
func (l *Log) Events() []stream.Event { return l.events }

// Trim loses all but the last keep events.
func (l *Log) Trim(keep int) { l.trimmed = max(l.trimmed, len(l.events)-keep) }

// Fork loses the last n events, as an asynchronous failover does.
func (l *Log) Fork(n int) {
	l.events = l.events[:len(l.events)-n]
	l.places = l.places[:len(l.places)-n]
}

func (l *Log) append(e stream.Event, r *rand.Rand) (seq uint64) {
	if l.epoch == 0 {
		l.epoch = stream.Epoch(r.Uint64() | 1)
	}
	head := l.Head()
	e.At = Began + int64(len(l.events))
	e.Prev, e.Link = head.Link, stream.Link(r.Uint32())
	head.Epoch, head.Link = l.epoch, e.Link
	if e.Kind == stream.Recall {
		head.Changes++
		e.Seq, e.Changes = head.Seq, head.Changes
	} else {
		head.Seq++
		e.Seq = head.Seq
		l.seqs[e.UUID], l.times[e.Seq] = e.Seq, e.At
	}
	l.events = append(l.events, e)
	l.places = append(l.places, head)
	return e.Seq
}

func (l *Log) recall(uuid string, r *rand.Rand) bool {
	for i := range l.events {
		e := &l.events[i]
		if e.Kind == stream.Message && e.UUID == uuid {
			// Others hold the event as it was.
			e.Kind, e.Payload, e.At, e.By = stream.Tombstone, nil, 0, stream.Author{}
			l.append(stream.Event{Kind: stream.Recall, UUID: uuid, Target: e.Seq}, r)
			return true
		}
	}
	return false
}

// recalled reports whether the message at seq is a tombstone.
func (l *Log) recalled(seq uint64) bool {
	for i := range l.events {
		if e := &l.events[i]; e.Kind == stream.Tombstone && e.Seq == seq {
			return true
		}
	}
	return false
}

// at returns the event as the store has it now. Live messages do not carry
// their uuid.
func (l *Log) at(it item) stream.Event {
	if it.event != nil {
		return *it.event
	}
	e := l.events[it.index]
	if e.Kind == stream.Message {
		e.UUID = ""
	}
	return e
}

// after returns the index of the event after a place; false if it does not
// exist or what follows is lost.
func (l *Log) after(p stream.Position) (next int, ok bool) {
	if p == (stream.Position{}) || p == (stream.Position{Epoch: l.epoch}) {
		return 0, l.trimmed == 0
	}
	for i, place := range l.places {
		if place == p {
			return i + 1, i+1 >= l.trimmed
		}
	}
	return 0, false
}

func (l *Log) find(start relay.Start) (next int, ok bool) {
	switch {
	case start.Newest > 0:
		return l.newest(start.Newest), true
	case start.AfterUUID == "":
		return l.after(start.After)
	}
	seq, ok := l.seqs[start.AfterUUID]
	if !ok {
		return 0, false
	}
	for i, e := range l.events {
		if e.Kind != stream.Recall && e.Seq == seq {
			return i + 1, i+1 >= l.trimmed
		}
	}
	return 0, false
}

// newest returns the index of the first of the newest n messages that are retained.
func (l *Log) newest(n int) (first int) {
	first = len(l.events)
	for i := len(l.events) - 1; i >= l.trimmed && n > 0; i-- {
		if l.events[i].Kind != stream.Recall {
			first, n = i, n-1
		}
	}
	return first
}

func (l *Log) read(start relay.Start, size int) relay.Batch {
	next, ok := l.find(start)
	switch {
	case ok:
	case start.IfLost == relay.FromOldest:
		next = l.trimmed
	default:
		next = l.newest(int(start.IfLost))
	}
	end := min(next+size, len(l.events))
	b := relay.Batch{Epoch: l.epoch, Gap: !ok, More: end < len(l.events)}
	for i := next; i < end; i++ {
		b.Events = append(b.Events, l.at(item{index: i}))
	}
	if end > 0 {
		b.Position = l.places[end-1]
	}
	return b
}
