package relay

import (
	"context"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// write sends what is waiting whenever the window allows, and reports member
// counts and alarms, until the stream is over. There is no timer: a frame
// holds what came while the ones before it were on the way. When leaving ends,
// it ends the edge's half of the stream.
func (c *Client) write(leaving context.Context, l *link, h Handler) {
	s, ctx := l.stream, l.ctx
	members := reporter{handler: h}
	tick := time.NewTicker(c.opts.ReportEvery)
	defer tick.Stop()
	for ok := c.sendReport(s, &members); ok && c.flushFrames(l); {
		select {
		case <-ctx.Done():
			return
		case <-leaving.Done():
			_ = s.CloseSend()
			<-ctx.Done()
			return
		case <-l.wake:
		case <-tick.C:
			ok = c.sendReport(s, &members)
		}
	}
}

// sendReport says what is wrong and which members there are. It returns false when the
// stream is broken.
func (c *Client) sendReport(s relayv1.RelayService_ConnectClient, members *reporter) bool {
	health := c.health()
	for _, presence := range members.presence() {
		if s.Send(&relayv1.ConnectRequest{Presence: presence, Health: health}) != nil {
			return false
		}
		health = nil // once is enough
	}
	return true
}

// health is nil if nobody knows it.
func (c *Client) health() *relayv1.Health {
	if c.opts.Alarms == nil {
		return nil
	}
	health := &relayv1.Health{}
	for _, a := range c.opts.Alarms() {
		health.Alarms = append(health.Alarms, &relayv1.Alarm{Name: a.Name, Text: a.Text})
	}
	return health
}

// flushFrames sends frames until nothing more may be sent. It returns false
// when the stream is broken.
func (c *Client) flushFrames(l *link) bool {
	for {
		frame := c.nextFrame(l)
		if frame == nil {
			return true
		}
		if l.stream.Send(frame) != nil {
			return false
		}
	}
}

// nextFrame returns what may be sent now; nil if that is nothing. Interests do
// not wait for the window: only frames with publishes count.
func (c *Client) nextFrame(l *link) *relayv1.ConnectRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	interests := l.interests.take()
	open := l == c.link && !c.held && l.sent-l.received < maxFramesOnTheWay && c.list.hasUnsent()
	if len(interests) == 0 && !open && l.wish == nil {
		return nil
	}
	frame := &relayv1.ConnectRequest{Interests: interests, Move: l.wish}
	l.wish = nil
	if open {
		l.sent++
		frame.Publishes = c.list.write(l.sent, time.Now())
		c.metrics.frameItems.Observe(float64(len(frame.GetPublishes())))
	}
	return frame
}
