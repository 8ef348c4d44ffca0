package feed

import "github.com/gotapi/gotapi-ws/wire/stream"

// following skips old events and returns those that follow a position, the rest after
// them, and the position after next.
func following(pos stream.Position, epoch stream.Epoch, events []stream.Event) (next, rest []stream.Event, after stream.Position) {
	after = pos
	first, n := 0, 0
	for ; n < len(events); n++ {
		v := after.Next(epoch, &events[n])
		if v == stream.Old && n == first {
			first++
			continue
		}
		if v != stream.Follows {
			break
		}
	}
	return events[first:n], events[n:], after
}
