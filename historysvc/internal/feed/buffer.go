package feed

import (
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Bounds of what waits while a follower catches up. What does not fit is
// dropped: the store has the stored events, and the others are at most once.
const (
	bufferItems    = 1024
	bufferBytes    = 1 << 20
	allBufferBytes = 64 << 20 // over all followers
)

// eventOverhead is about what an event occupies beside its packet, in bytes.
const eventOverhead = 128

// heardEvents is what one call of Heard brought.
type heardEvents struct {
	epoch  stream.Epoch
	events []stream.Event
}

// buffer holds live events in the order in which they came.
type buffer struct {
	heard        []heardEvents
	items, bytes int
}

// add returns false when the events do not fit: then none of them is taken.
// total counts over all buffers.
func (b *buffer) add(epoch stream.Epoch, events []stream.Event, total *atomic.Int64) bool {
	size := sizeOf(events)
	if b.items+len(events) > bufferItems || b.bytes+size > bufferBytes ||
		total.Load()+int64(size) > allBufferBytes {
		return false
	}
	b.heard = append(b.heard, heardEvents{epoch, events})
	b.items += len(events)
	b.bytes += size
	total.Add(int64(size))
	return true
}

// take empties the buffer.
func (b *buffer) take(total *atomic.Int64) []heardEvents {
	heard := b.heard
	total.Add(int64(-b.bytes))
	*b = buffer{}
	return heard
}

func sizeOf(events []stream.Event) int {
	size := 0
	for i := range events {
		size += eventOverhead + len(events[i].UUID) + len(events[i].Payload)
	}
	return size
}
