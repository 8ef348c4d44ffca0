package relay

import (
	"errors"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// read serves what the history service sends, until the stream ends.
func (c *Client) read(l *link, h Handler) error {
	for {
		frame, err := l.stream.Recv()
		if err != nil {
			return err
		}
		c.confirm(l, frame.GetReceived())
		if frame.GetMayMove() {
			select {
			case l.mayMove <- struct{}{}:
			default:
			}
		}
		if err := c.handle(l, h, frame); err != nil {
			return err
		}
	}
}

// handle hands a frame on, or keeps it until the stream takes the place of another one.
func (c *Client) handle(l *link, h Handler, frame *relayv1.ConnectResponse) error {
	c.handling.Lock()
	defer c.handling.Unlock()
	switch {
	case l.early != nil:
		return l.early.keep(frame, h)
	case l != c.link: // it has been left
		return nil
	case c.next != nil:
		c.next.early.seen.add(frame.GetDeliveries())
	}
	attach(h, frame.GetAttached())
	// Deliveries first: the delivery of a message is its sender's ack, and
	// a result without a delivery makes the room look for a hole.
	c.deliver(h, l.seen.others(frame.GetDeliveries()))
	c.results(frame.GetResults())
	return nil
}

// confirm opens the window for the frames that the service has received.
func (c *Client) confirm(l *link, received uint64) {
	c.mu.Lock()
	wake := received > l.received && c.list.hasUnsent()
	l.received = max(l.received, min(received, l.sent))
	c.mu.Unlock()
	if wake {
		l.wakeWriter()
	}
}

func attach(h Handler, all []*relayv1.Attached) {
	for _, a := range all {
		var err error
		if reason := a.GetError(); reason != "" {
			err = errors.New(reason)
		}
		h.Attached(a.GetChannel(), decodePosition(a.GetPosition()), a.GetGap(), err)
	}
}

func (c *Client) deliver(h Handler, all []*relayv1.Delivery) {
	for _, d := range all {
		c.metrics.deliveries.Add(float64(len(d.GetEvents())))
		c.arrived(d.GetEvents())
		h.Deliver(d.GetChannel(), stream.Epoch(d.GetEpoch()), decodeEvents(d.GetEvents()))
	}
}

func (c *Client) results(all []*relayv1.Result) {
	if len(all) == 0 {
		return
	}
	entries := make([]*entry, len(all))
	c.mu.Lock()
	for i, r := range all {
		e := c.list.take(r.GetId())
		if e != nil && decodeOutcome(r.GetOutcome()).MayPass() {
			e.failRun()
		}
		entries[i] = e
	}
	c.removed()
	c.mu.Unlock()
	now := time.Now()
	for i, e := range entries {
		if e != nil { // nil: it was given up before
			c.finish(e, e.result(all[i]), now)
		}
	}
}

// result is what the service's result means for e. A refusal says nothing about
// what became of e on an earlier stream.
func (e *entry) result(r *relayv1.Result) Result {
	outcome := decodeOutcome(r.GetOutcome())
	if e.written > 1 && (outcome == Unavailable || outcome == Busy) {
		outcome = Unknown
	}
	return Result{
		Outcome:  outcome,
		Epoch:    stream.Epoch(r.GetEpoch()),
		Seq:      r.GetSeq(),
		At:       r.GetAt(),
		Recalled: r.GetRecalled(),
		Reason:   r.GetReason(),
	}
}
