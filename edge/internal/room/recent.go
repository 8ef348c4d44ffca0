package room

import "github.com/gotapi/gotapi-ws/wire/stream"

// Bounds of what a room keeps for members that are catching up. When full, the
// oldest go: a member that needs them reads the store again (and misses broadcasts
// that are not stored, which are delivered at most once).
const (
	maxRecent      = 512
	maxRecentBytes = 256 << 10
)

// recent holds the last events that a room has passed on.
type recent struct {
	// The place before the first stored event held.
	from   stream.Position
	events []recentEvent
	bytes  int
	limit  int
}

type recentEvent struct {
	delivery
	// The room's count of events with it.
	number uint64
}

// restart follows the room to another place.
func (c *recent) restart(pos stream.Position) {
	if c != nil {
		*c = recent{from: pos, limit: c.limit}
	}
}

func (c *recent) add(number uint64, d *delivery) {
	own := *d.Event.Event // the batch it came with is not to be kept
	kept := recentEvent{delivery: *d, number: number}
	kept.Event.Event = &own
	c.events = append(c.events, kept)
	c.bytes += d.size()
	for len(c.events) > c.limit || c.bytes > maxRecentBytes {
		c.drop()
	}
}

// drop forgets the oldest.
func (c *recent) drop() {
	oldest := &c.events[0]
	c.from.Next(oldest.epoch, oldest.Event.Event) // it follows: it did when it was added
	c.bytes -= oldest.size()
	*oldest = recentEvent{}
	c.events = c.events[1:]
}

// covers reports whether nothing after pos is missing here.
func (c *recent) covers(pos stream.Position) bool {
	return c.from == pos || c.from.Before(pos) || c.from.Epoch == 0
}

// after returns how many events there are after pos, and about how many bytes a member
// gets of them.
func (c *recent) after(pos stream.Position) (events, bytes int) {
	for i := range c.events {
		if d := &c.events[i]; pos.Epoch == 0 || pos.Before(d.Pos) {
			events++
			bytes += d.size()
		}
	}
	return events, bytes
}
