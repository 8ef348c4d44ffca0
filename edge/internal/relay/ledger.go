package relay

import (
	"time"

	"github.com/gotapi/gotapi-ws/internal/fairshare"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// entryOverhead is about what an entry occupies beside its packet, in bytes.
const entryOverhead = 400

// entry is a publication without a result.
type entry struct {
	// What is written: own, or a copy of it with the same payload.
	msg      *relayv1.Publish
	own      relayv1.Publish
	packet   *Publication
	deadline time.Time
	size     int
	// How many streams it was written to, and in which frame of publishes of
	// the present one (from 1; 0: none).
	written int
	frame   uint64
	// The run that it belongs to; nil: none.
	run *run
	// Neighbours in the ledger, in the order of publication.
	prev, next *entry
}

// run is a part of a batch: entries of one group that follow each other in the ledger.
// They go into one frame, so the service can tell that they belong together.
type run struct {
	number uint32
	// What is in the ledger of it.
	load fairshare.Load
	// One of it was refused in a way that may pass: those after it are not written again.
	failed bool
}

func (e *entry) init(p *Publication, deadline time.Time) {
	e.packet, e.deadline = p, deadline
	e.size = entrySize(p)
	e.msg = &e.own
	e.msg.Id = p.ID()
	e.msg.Group = string(p.Group)
	e.msg.Kind = encodeKind(p.Kind)
	e.msg.Uuid = p.UUID
	e.msg.Payload = p.Payload
	e.msg.Author = p.Author
	e.msg.By = EncodeAuthor(p.By)
	e.msg.Trace = p.span.wire()
}

func entrySize(p *Publication) int {
	return len(p.Group) + len(p.UUID) + len(p.By.Name) + len(p.Payload) + entryOverhead
}

// join makes e a part of r, which may be nil.
func (e *entry) join(r *run) {
	if r != nil {
		e.run, e.msg.Run = r, r.number
	}
}

// failRun keeps what follows e in its run from being written again.
func (e *entry) failRun() {
	if e.run != nil {
		e.run.failed = true
	}
}

// stored reports whether the history service keeps the packet, so that writing it
// twice does no harm.
func (e *entry) stored() bool { return e.msg.GetKind() == relayv1.PacketKind_PACKET_KIND_DATA }

// mayBeRewritten reports whether writing e to another stream would neither do anything twice
// nor overtake what failed before it in its run.
func (e *entry) mayBeRewritten() bool { return e.stored() && (e.run == nil || !e.run.failed) }

// givenUp is the result of an entry for which the service has none.
func (e *entry) givenUp(reason string) Result {
	if e.written > 0 {
		return Result{Outcome: Unknown, Reason: reason}
	}
	return Result{Outcome: Unavailable, Reason: "no history service can be reached"}
}

// ledger holds the publications without a result in the order of publication,
// which is also that of their deadlines. Those from unsent on have not been written
// to the present stream. It is bounded in items and bytes, as a whole and for each
// group; a publication beyond that is refused. The caller locks.
type ledger struct {
	first, last, unsent *entry
	byID                map[uint64]*entry
	queue               fairshare.Queue
}

func newLedger(items, bytes int) ledger {
	return ledger{byID: make(map[uint64]*entry), queue: fairshare.NewQueue(items, bytes)}
}

// check returns why e cannot be added.
func (l *ledger) check(e *entry) error { return l.queue.Check(e.msg.GetGroup(), e.size) }

// add appends e.
func (l *ledger) add(e *entry) {
	e.prev = l.last
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
	if l.unsent == nil {
		l.unsent = e
	}
	l.byID[e.msg.GetId()] = e
	l.queue.Add(e.msg.GetGroup(), e.size)
	if e.run != nil {
		e.run.load.Add(e.size)
	}
}

func (l *ledger) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	if l.unsent == e {
		l.unsent = e.next
	}
	e.prev, e.next = nil, nil
	delete(l.byID, e.msg.GetId())
	l.queue.Remove(e.msg.GetGroup(), e.size)
	if e.run != nil {
		e.run.load.Remove(e.size)
	}
}

// allAnswered reports whether nothing was written to the present stream that has no
// result.
func (l *ledger) allAnswered() bool { return l.first == l.unsent }

// mayBeRewritten reports whether everything that was written to the present stream without
// a result may be written again.
func (l *ledger) mayBeRewritten() bool {
	for e := l.first; e != l.unsent; e = e.next {
		if !e.mayBeRewritten() {
			return false
		}
	}
	return true
}

func (l *ledger) hasUnsent() bool { return l.unsent != nil }

// serviceTimeout is how long the history service has. Its result may say that the message
// is certainly not stored, so it must come before the edge gives up.
func serviceTimeout(left time.Duration) time.Duration { return left * 9 / 10 }

// write moves the unsent mark over what fits into the stream's next frame of
// publishes, and returns that.
func (l *ledger) write(frame uint64, now time.Time) (publishes []*relayv1.Publish) {
	size := 0
	var current *run
	for e := l.unsent; e != nil && len(publishes) < maxFrameItems; e = e.next {
		if e.run != nil && e.run != current && len(publishes) > 0 &&
			(len(publishes)+e.run.load.Items > maxFrameItems || size+e.run.load.Bytes > maxFrameBytes) {
			break
		}
		current = e.run
		size += e.size
		if len(publishes) > 0 && size > maxFrameBytes {
			break
		}
		if e.msg.GetTimeoutMs() != 0 {
			// It went to an earlier stream, whose other end may be in this process
			// and still read it.
			m := e.msg
			e.msg = &relayv1.Publish{
				Id: m.Id, Group: m.Group, Kind: m.Kind, Uuid: m.Uuid, Payload: m.Payload, Author: m.Author, By: m.By, Trace: m.Trace, Run: m.Run,
			}
		}
		e.written++
		e.frame = frame
		e.msg.Again = e.written > 1
		e.msg.TimeoutMs = uint32(max(serviceTimeout(e.deadline.Sub(now)).Milliseconds(), 1))
		publishes = append(publishes, e.msg)
		l.unsent = e.next
	}
	return publishes
}

// take removes and returns the entry with that id; nil if there is none.
func (l *ledger) take(id uint64) *entry {
	e := l.byID[id]
	if e != nil {
		l.remove(e)
	}
	return e
}

// rewind makes all messages unsent again, for the next stream. It removes and
// returns the written entries that must not be written twice. The service did not
// take the frames after taken: they count as not written.
func (l *ledger) rewind(taken uint64) (lost []*entry) {
	for e := l.first; e != nil && e != l.unsent; {
		next := e.next
		switch {
		case e.frame > taken:
			e.written--
		case !e.mayBeRewritten():
			e.failRun()
			l.remove(e)
			lost = append(lost, e)
		}
		e.frame = 0
		e = next
	}
	l.unsent = l.first
	return lost
}

// expired removes and returns the entries whose deadline has passed.
func (l *ledger) expired(now time.Time) (late []*entry) {
	for l.first != nil && !l.first.deadline.After(now) {
		e := l.first
		l.remove(e)
		late = append(late, e)
	}
	return late
}

// takeAll removes and returns everything.
func (l *ledger) takeAll() (all []*entry) {
	for l.first != nil {
		e := l.first
		l.remove(e)
		all = append(all, e)
	}
	return all
}
