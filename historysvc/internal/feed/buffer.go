package feed

import (
	"sync/atomic"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Bounds of what waits while a follower reads the store. What does not fit is
// dropped: the store has the stored events, and the others come at most once.
const (
	bufferItems    = 1024
	bufferBytes    = 1 << 20
	allBufferBytes = 64 << 20 // over all followers
)

// eventOverhead is about what an event occupies beside its packet, in bytes.
const eventOverhead = 128

// arrival is what the bus brought in one call.
type arrival struct {
	epoch  stream.Epoch
	events []stream.Event
}

// buffer holds live events in the order in which they arrived.
type buffer struct {
	arrivals     []arrival
	items, bytes int
}

// add returns false when the events do not fit, and then takes none of them.
// total counts the bytes of all buffers.
func (b *buffer) add(epoch stream.Epoch, events []stream.Event, total *atomic.Int64) bool {
	size := sizeOf(events)
	if b.items+len(events) > bufferItems || b.bytes+size > bufferBytes ||
		total.Load()+int64(size) > allBufferBytes {
		return false
	}
	b.arrivals = append(b.arrivals, arrival{epoch, events})
	b.items += len(events)
	b.bytes += size
	total.Add(int64(size))
	return true
}

// take empties the buffer.
func (b *buffer) take(total *atomic.Int64) []arrival {
	arrivals := b.arrivals
	total.Add(int64(-b.bytes))
	*b = buffer{}
	return arrivals
}

func sizeOf(events []stream.Event) int {
	size := 0
	for i := range events {
		size += eventOverhead + len(events[i].UUID) + len(events[i].By.Name) + len(events[i].Payload)
	}
	return size
}
