package stream

import "slices"

// maxShown bounds how many recalls a receiver remembers having been shown. One that
// learns of an older recall a second time is shown it a second time.
const maxShown = 256

// Changes decides which changes of messages one receiver of a group's events is
// shown. A change is a recall.
//
// A receiver is shown a recall once, and only if it may have the message: not if it
// got the message's tombstone instead. Show takes the receiver's events in order.
// Learn is for recalls that the receiver learns of in another way.
//
// Receivers that get the same events can share one Changes. A receiver that is to
// be treated differently gets its own from Branch. The zero Changes belongs to a
// receiver that begins now. It must not be copied.
type Changes struct {
	// Messages of which the receiver got the tombstone, and not yet the recall.
	missed map[uint64]struct{}
	// The messages whose recalls were shown last: a ring, once it is full.
	shown []uint64
	// How many recalls were shown.
	total uint64
}

// Show reports whether the receiver is shown e, and takes note of it.
func (c *Changes) Show(e *Event) bool {
	switch e.Kind {
	case Tombstone:
		if c.missed == nil {
			c.missed = make(map[uint64]struct{})
		}
		c.missed[e.Seq] = struct{}{}
		return false
	case Recall:
		_, missed := c.missed[e.Target]
		delete(c.missed, e.Target)
		return !missed && c.Learn(e.Target)
	default:
		return true
	}
}

// Learn takes note that the receiver learns that the message at seq is recalled, and
// reports whether that is news to it. Messages without a number (0) always are.
func (c *Changes) Learn(seq uint64) bool {
	if seq == 0 {
		return true
	}
	if slices.Contains(c.shown, seq) {
		return false
	}
	if len(c.shown) < maxShown {
		c.shown = append(c.shown, seq)
	} else {
		c.shown[c.total%maxShown] = seq
	}
	c.total++
	return true
}

// Mark returns the present moment, for Branch.
func (c *Changes) Mark() uint64 { return c.total }

// Branch returns the Changes of a receiver that has shared c since a Mark.
func (c *Changes) Branch(since uint64) *Changes {
	own := &Changes{missed: make(map[uint64]struct{}, len(c.missed))}
	for seq := range c.missed {
		own.missed[seq] = struct{}{}
	}
	known := min(c.total-since, uint64(len(c.shown)))
	for n := c.total - known; n < c.total; n++ {
		own.Learn(c.shown[n%maxShown])
	}
	return own
}
