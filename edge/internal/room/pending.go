package room

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// keepPublishes is up to how many entries an empty table keeps its memory for.
const keepPublishes = 8

// groupShare is the part of the window that one group may have, where MayAdd is asked: a
// half.
const groupShare = 2

// Pending holds the publishes of one connection that are not settled. Each is settled
// exactly once: by the ack in its message's place, by the answer to a duplicate, by a
// refusal, or, if the packet is not stored or its group not joined, by its result alone.
// It also remembers the results that wait for their place in a member's stream.
//
// Settling has two steps. settle takes the publish out of the table, which only one
// caller can do. release, after the frame was queued, makes room for another. So a
// connection that finishes does not end before its last ack.
type Pending struct {
	limits ws.Limits
	out    *ws.Outbox

	mu sync.Mutex
	// By number, rising.
	publishes []publish
	// The last number.
	last uint32
	// Everything in the window: not settled, or settled and not released.
	used size
	// Closed when there may be room; nil when nothing waits for it.
	room chan struct{}
	// Why the connection ends when the window is empty; nil: it goes on.
	finish *ws.CloseError
}

// publish is one packet that is not settled.
type publish struct {
	Publish
	number uint32
	bytes  int32
	// Its result, if that waits for its place in the member's stream.
	result *result
}

// result is a Receipt, and the epoch of its Seq.
type result struct {
	Receipt
	epoch stream.Epoch
}

// isDue reports whether a reader that has got to pos has passed the message.
func (r *result) isDue(pos stream.Position) bool {
	return r.epoch == pos.Epoch && r.Seq <= pos.Seq
}

// size is what publishes take of the window.
type size struct{ packets, bytes int }

// Add waits until the window has room for a packet of so many bytes, and numbers it.
// It returns false if the connection takes no more publishes.
func (p *Pending) Add(one Publish, bytes int) (number uint32, ok bool) {
	for {
		p.mu.Lock()
		if p.finish != nil || p.out.Cause() != nil {
			p.mu.Unlock()
			return 0, false
		}
		if p.admits(bytes) {
			p.last++
			number = p.last
			p.publishes = append(p.publishes, publish{Publish: one, number: number, bytes: int32(bytes)})
			p.used.packets++
			p.used.bytes += bytes
			p.mu.Unlock()
			return number, true
		}
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		<-room
	}
}

// MayAdd reports whether a group may have one more publish of so many bytes: one group
// may have half of the window, and one publish in any case.
func (p *Pending) MayAdd(g group.Name, bytes int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used.packets < p.limits.Frames/groupShare && p.used.bytes+bytes <= p.limits.Bytes/groupShare {
		return true
	}
	var n size
	for i := range p.publishes {
		if one := &p.publishes[i]; one.Group == g {
			n.packets++
			n.bytes += int(one.bytes)
		}
	}
	return n.packets == 0 || n.packets < p.limits.Frames/groupShare && n.bytes+bytes <= p.limits.Bytes/groupShare
}

// Assign makes a publish that of a member, before it goes to the relay. It is for those
// that were added before their join was complete.
func (p *Pending) Assign(number uint32, m *Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.index(number); i >= 0 {
		p.publishes[i].Member = m
	}
}

func (p *Pending) admits(bytes int) bool {
	return p.used.packets == 0 || p.used.packets < p.limits.Frames && p.used.bytes+bytes <= p.limits.Bytes
}

// Settle settles a publish that never went to the relay, with the frame that answers
// it, or the zero Frame.
func (p *Pending) Settle(number uint32, answer ws.Frame) {
	p.settleWith(number, func(*Publish) ws.Frame { return answer })
}

// settleWith settles the publish of that number with a frame, if it makes one. It
// returns false, and makes none, if the publish was settled before.
func (p *Pending) settleWith(number uint32, frame func(*Publish) ws.Frame) bool {
	one, ok := p.settle(number)
	if ok {
		if f := frame(&one.Publish); !f.IsZero() {
			p.out.Send(f)
		}
		p.release(size{1, int(one.bytes)})
	}
	return ok
}

// settle takes a publish out. The caller queues the frame that settles it, and then
// calls release. ok is false if the publish was settled before.
func (p *Pending) settle(number uint32) (one publish, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(number)
	if i < 0 {
		return publish{}, false
	}
	return p.take(i), true
}

// settleOwn is settle for a publish of m.
func (p *Pending) settleOwn(number uint32, m *Member) (one publish, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(number)
	if i < 0 || p.publishes[i].Member != m {
		return publish{}, false
	}
	return p.take(i), true
}

// take needs the lock.
func (p *Pending) take(i int) (one publish) {
	one = p.publishes[i]
	p.publishes = slices.Delete(p.publishes, i, i+1)
	if len(p.publishes) == 0 && cap(p.publishes) > keepPublishes {
		p.publishes = nil
	}
	return one
}

// remember keeps a result until it is due. It returns false if the publish is settled.
func (p *Pending) remember(number uint32, r *result) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(number)
	if i >= 0 {
		p.publishes[i].result = r
	}
	return i >= 0
}

// settleResults is settle for all publishes of m with a result that is due, in the order
// of their messages. more reports whether m has others with a result.
func (p *Pending) settleResults(m *Member, due func(*result) bool) (ready []publish, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i < len(p.publishes); {
		one := &p.publishes[i]
		switch {
		case one.Member != m || one.result == nil:
			i++
		case due(one.result):
			ready = append(ready, p.take(i))
		default:
			more = true
			i++
		}
	}
	slices.SortStableFunc(ready, func(a, b publish) int { return cmp.Compare(a.result.Seq, b.result.Seq) })
	return ready, more
}

// release makes room for others.
func (p *Pending) release(s size) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used.packets -= s.packets
	p.used.bytes -= s.bytes
	p.progress()
}

// member returns whose publish it is; nil: no member's. It returns false if it is settled.
func (p *Pending) member(number uint32) (m *Member, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(number)
	if i < 0 {
		return nil, false
	}
	return p.publishes[i].Member, true
}

// index returns where a publish is in the table; -1 if it is settled. Numbers wrap
// around.
func (p *Pending) index(number uint32) int {
	i, ok := slices.BinarySearchFunc(p.publishes, number, func(one publish, number uint32) int {
		return int(int32(one.number - number))
	})
	if !ok {
		return -1
	}
	return i
}

// Finish takes no more publishes, and ends the connection with cause when the last
// one is settled.
func (p *Pending) Finish(cause *ws.CloseError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish = cause
	p.progress()
}

// Finishing reports whether Finish was called.
func (p *Pending) Finishing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.finish != nil
}

// Full reports whether Add waits.
func (p *Pending) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.room != nil
}

// Wake lets Add find out that the connection is ending.
func (p *Pending) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress()
}

// progress wakes Add, and ends a connection that has finished.
func (p *Pending) progress() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
	if p.finish != nil && p.used.packets == 0 {
		p.out.Close(p.finish)
	}
}
