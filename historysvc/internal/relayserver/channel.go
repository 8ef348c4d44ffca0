package relayserver

import (
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// channel is one group's stream on its way to an edge. It is a feed.Sink.
type channel struct {
	id       uint32
	peer     *peer
	follower *feed.Follower

	// It was refused room and waits for it; guarded by peer.out.mu.
	waits bool
	// The last frame with events of the channel, and the index of its last delivery
	// there; of peer.out.frame.
	frame    uint64
	delivery int
}

var _ feed.Sink = (*channel)(nil)

// Attached implements feed.Sink.
func (c *channel) Attached(at stream.Position, gap bool) { c.peer.out.attach(c, at, gap) }

// Deliver implements feed.Sink.
func (c *channel) Deliver(epoch stream.Epoch, events []stream.Event) bool {
	return c.peer.out.deliver(c, epoch, events)
}

// Lost implements feed.Sink. Members get unstored packets at most once, and do not learn of
// lost ones.
func (c *channel) Lost(int) {}

// Failed implements feed.Sink.
func (c *channel) Failed(err error) { c.peer.fail(c, err) }
