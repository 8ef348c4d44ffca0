package relay

import (
	"context"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// write sends what is waiting whenever the window allows, and reports member
// counts, until ctx ends or the stream breaks. There is no timer: a frame
// holds what came while the ones before it were on the way. When leaving ends,
// it ends the edge's half of the stream.
func (c *Client) write(ctx, leaving context.Context, s relayv1.RelayService_ConnectClient) {
	report := newReporter(c.members, c.opts.ReportEvery)
	defer report.stop()
	for {
		if !c.flushFrames(s) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-leaving.Done():
			_ = s.CloseSend()
			<-ctx.Done()
			return
		case <-c.wake:
		case <-report.tick():
			for _, presence := range report.presence() {
				if s.Send(&relayv1.ConnectRequest{Presence: presence}) != nil {
					return
				}
			}
		}
	}
}

// flushFrames sends frames until nothing more may be sent. It returns false
// when the stream is broken.
func (c *Client) flushFrames(s relayv1.RelayService_ConnectClient) bool {
	for {
		frame := c.nextFrame()
		if frame == nil {
			return true
		}
		if s.Send(frame) != nil {
			return false
		}
	}
}

// nextFrame takes what may be sent now; nil if that is nothing. Interests do
// not wait for the window: only frames with publishes count.
func (c *Client) nextFrame() *relayv1.ConnectRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	interests := c.takeInterests()
	open := c.link.sent-c.link.received < maxFramesOnTheWay && c.list.hasUnsent()
	if len(interests) == 0 && !open {
		return nil
	}
	frame := &relayv1.ConnectRequest{Interests: interests}
	if open {
		c.link.sent++
		frame.Publishes = c.list.write(c.link.sent, time.Now())
		c.metrics.frameItems.Observe(float64(len(frame.GetPublishes())))
	}
	return frame
}

// takeInterests takes as many as fit into a frame.
func (c *Client) takeInterests() []*relayv1.Interest {
	from := &c.link.opens
	if len(*from) == 0 {
		from = &c.link.ends
	}
	size, n := 0, 0
	for n < len(*from) && (n == 0 || size < maxFrameBytes) {
		size += len((*from)[n].GetGroup()) + interestOverhead
		n++
	}
	taken := (*from)[:n:n]
	*from = (*from)[n:]
	if len(*from) == 0 {
		*from = nil
	}
	return taken
}

// interestOverhead is what an interest occupies on the wire beside its group,
// in bytes, at most.
const interestOverhead = 64
