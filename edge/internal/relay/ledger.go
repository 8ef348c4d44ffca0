package relay

import (
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// groupShare is the part of the ledger that one group may fill: 1/4.
	groupShare = 4
	// reserve is the part, 1/8, that is kept for groups with few publications in
	// it, 1/512: so floods in up to 64 groups do not shut out the others.
	reserve = 8
	few     = 512
)

// entryOverhead is about what an entry occupies beside its packet, in bytes.
const entryOverhead = 400

// entry is a publication that has not been answered.
type entry struct {
	// What is written: own, or a copy of it with the same payload.
	msg      *relayv1.Publish
	own      relayv1.Publish
	done     func(Receipt)
	deadline time.Time
	size     int
	// How many streams it was written to, and in which frame of publishes of
	// the present one (from 1; 0: none).
	written int
	frame   uint64
	// Neighbours in the ledger, in the order of publication.
	prev, next *entry
}

func newEntry(p *Publication, deadline time.Time) *entry {
	e := &entry{
		done:     p.Done,
		deadline: deadline,
		size:     len(p.Group) + len(p.UUID) + len(p.Payload) + entryOverhead,
	}
	e.msg = &e.own
	e.msg.Id = p.ID()
	e.msg.Group = string(p.Group)
	e.msg.Kind = encodeKind(p.Kind)
	e.msg.Uuid = p.UUID
	e.msg.Payload = p.Payload
	e.msg.Author = p.Author
	e.msg.Trace = p.Trace
	return e
}

// stored says whether the history service keeps the packet, so that writing it
// twice does no harm.
func (e *entry) stored() bool { return e.msg.GetKind() == relayv1.PacketKind_PACKET_KIND_DATA }

// unanswered is the receipt of an entry that is given up.
func (e *entry) unanswered(reason string) Receipt {
	if e.written > 0 {
		return Receipt{Outcome: Unknown, Reason: reason}
	}
	return Receipt{Outcome: Unavailable, Reason: "no history service can be reached"}
}

// load is what one group has in the ledger.
type load struct{ items, bytes int }

// ledger holds the unanswered publications in the order of publication, which
// is also that of their deadlines. Those from unsent on have not been written
// to the present stream. It is bounded in items and bytes, as a whole and for
// each group; a publication beyond that is refused. The caller locks.
type ledger struct {
	first, last, unsent *entry
	byID                map[uint64]*entry
	groups              map[group.Name]load
	items, bytes        int
	maxItems, maxBytes  int
}

func (l *ledger) limit(items, bytes int) {
	l.byID = make(map[uint64]*entry)
	l.groups = make(map[group.Name]load)
	l.maxItems, l.maxBytes = items, bytes
}

// full says why e cannot be pushed, or "".
func (l *ledger) full(e *entry) string {
	g := l.groups[group.Name(e.msg.GetGroup())]
	items, bytes := l.maxItems, l.maxBytes
	if g.items >= max(4, items/few) {
		items, bytes = items-items/reserve, bytes-bytes/reserve
	}
	if l.items+1 > items || l.bytes+e.size > bytes {
		return "too much is waiting"
	}
	if g.items+1 > max(1, l.maxItems/groupShare) || g.bytes+e.size > l.maxBytes/groupShare {
		return "too much is waiting for this group"
	}
	return ""
}

func (l *ledger) push(e *entry) {
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
	l.account(e, 1)
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
	l.account(e, -1)
}

func (l *ledger) account(e *entry, sign int) {
	l.items += sign
	l.bytes += sign * e.size
	name := group.Name(e.msg.GetGroup())
	g := l.groups[name]
	g.items += sign
	g.bytes += sign * e.size
	if g.items == 0 {
		delete(l.groups, name)
		return
	}
	l.groups[name] = g
}

func (l *ledger) hasUnsent() bool { return l.unsent != nil }

// answerWithin is how long the history service has, so that it can still say
// whether the message is certainly not stored before the edge gives up.
func answerWithin(left time.Duration) time.Duration { return left * 9 / 10 }

// write moves the unsent mark over what fits into the stream's next frame of
// publishes, and returns that.
func (l *ledger) write(frame uint64, now time.Time) (publishes []*relayv1.Publish) {
	size := 0
	for e := l.unsent; e != nil && len(publishes) < maxFrameItems; e = e.next {
		size += e.size
		if len(publishes) > 0 && size > maxFrameBytes {
			break
		}
		if e.msg.GetTimeoutMs() != 0 {
			// It went to an earlier stream, whose other end may be in this process
			// and still read it.
			m := e.msg
			e.msg = &relayv1.Publish{
				Id: m.Id, Group: m.Group, Kind: m.Kind, Uuid: m.Uuid, Payload: m.Payload, Author: m.Author, Trace: m.Trace,
			}
		}
		e.written++
		e.frame = frame
		e.msg.TimeoutMs = uint32(max(answerWithin(e.deadline.Sub(now)).Milliseconds(), 1))
		publishes = append(publishes, e.msg)
		l.unsent = e.next
	}
	return publishes
}

// answered takes the entry with that id out; nil if there is none.
func (l *ledger) answered(id uint64) *entry {
	e := l.byID[id]
	if e != nil {
		l.remove(e)
	}
	return e
}

// rewind makes all that is stored unsent again, for the next stream. It takes
// out and returns the written entries that must not be written twice. Frames
// after taken were not taken by the service: it is as if they had not been
// written.
func (l *ledger) rewind(taken uint64) (lost []*entry) {
	for e := l.first; e != nil && e != l.unsent; {
		next := e.next
		switch {
		case e.frame > taken:
			e.written--
		case !e.stored():
			l.remove(e)
			lost = append(lost, e)
		}
		e.frame = 0
		e = next
	}
	l.unsent = l.first
	return lost
}

// expired takes out the entries whose deadline has passed.
func (l *ledger) expired(now time.Time) (late []*entry) {
	for l.first != nil && !l.first.deadline.After(now) {
		e := l.first
		l.remove(e)
		late = append(late, e)
	}
	return late
}

// takeAll takes everything out.
func (l *ledger) takeAll() (all []*entry) {
	for l.first != nil {
		e := l.first
		l.remove(e)
		all = append(all, e)
	}
	return all
}
