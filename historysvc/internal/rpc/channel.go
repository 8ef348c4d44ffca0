package rpc

import (
	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// channel is one group's stream on its way to an edge. It is a feed.Sink.
type channel struct {
	id       uint32
	group    group.Name
	out      *outbound
	follower *feed.Follower
	// It has been refused room and waits for it. Guarded by out.mu.
	waits bool
}

var _ feed.Sink = (*channel)(nil)

// Attached implements feed.Sink.
func (c *channel) Attached(at stream.Position, gap bool) { c.out.attached(c.id, at, gap) }

// Deliver implements feed.Sink.
func (c *channel) Deliver(epoch stream.Epoch, events []stream.Event) bool {
	return c.out.deliver(c, epoch, events)
}

// Failed implements feed.Sink. The reader ends the channel at the next frame.
func (c *channel) Failed(err error) { c.out.failed(c.id, err) }
