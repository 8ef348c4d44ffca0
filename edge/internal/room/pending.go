package room

import (
	"slices"
	"sync"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

// keepPublishes is up to how many entries an empty table keeps its memory for.
const keepPublishes = 16

// Pending holds the publishes of one connection that are not settled. Each is settled
// exactly once: by the ack in its message's place, by the ack of a duplicate, by a
// refusal, or, if the packet is not stored, by its result alone.
//
// Settling has two steps. settle takes the publish out of the table, which only one
// caller can do. release, after the frame was queued, makes room for another. So a
// connection that finishes does not end before its last ack.
//
// Locks: a Room's comes before a Pending's, which comes before the Outbox's.
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
	number uint32
	bytes  int
	uuid   string
}

// size is what publishes take of the window.
type size struct{ packets, bytes int }

// NewPending returns a Pending for the connection behind out, which may have as many
// publishes pending as limits say; one is always allowed.
func NewPending(limits ws.Limits, out *ws.Outbox) *Pending {
	return &Pending{limits: limits, out: out}
}

// Add waits until the window has room for a packet of so many bytes, and numbers it.
// It returns false if the connection takes no more publishes.
func (p *Pending) Add(uuid string, bytes int) (number uint32, ok bool) {
	for {
		p.mu.Lock()
		if p.finish != nil || p.out.Cause() != nil {
			p.mu.Unlock()
			return 0, false
		}
		if p.admits(bytes) {
			p.last++
			number = p.last
			p.publishes = append(p.publishes, publish{number: number, bytes: bytes, uuid: uuid})
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

func (p *Pending) admits(bytes int) bool {
	return p.used.packets == 0 || p.used.packets < p.limits.Frames && p.used.bytes+bytes <= p.limits.Bytes
}

// settleWith settles the publish of that number with frames, or without one. It
// returns false, and queues nothing, if the publish was settled before.
func (p *Pending) settleWith(number uint32, frames ...ws.Frame) bool {
	one, ok := p.settle(number)
	if ok {
		p.out.SendAll(frames)
		p.release(size{1, one.bytes})
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
	one = p.publishes[i]
	p.publishes = slices.Delete(p.publishes, i, i+1)
	if len(p.publishes) == 0 && cap(p.publishes) > keepPublishes {
		p.publishes = nil
	}
	return one, true
}

// release makes room for others.
func (p *Pending) release(s size) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used.packets -= s.packets
	p.used.bytes -= s.bytes
	p.progress()
}

// has reports whether a publish is not settled.
func (p *Pending) has(number uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index(number) >= 0
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
