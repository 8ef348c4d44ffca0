package relay

import (
	"errors"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// read serves what the history service sends, until the stream ends.
func (c *Client) read(s relayv1.RelayService_ConnectClient) error {
	for {
		frame, err := s.Recv()
		if err != nil {
			return err
		}
		c.confirm(frame.GetReceived())
		c.attached(frame.GetAttached())
		// Deliveries first: the delivery of a message is its sender's ack, and
		// a result without a delivery makes the room look for a hole.
		c.deliver(frame.GetDeliveries())
		if frame.GetDeliveriesAnswer() {
			c.delivered(frame.GetDeliveries())
		}
		c.results(frame.GetResults())
	}
}

// confirm opens the window for the frames that the service has received.
func (c *Client) confirm(received uint64) {
	c.mu.Lock()
	wake := received > c.link.received && c.list.hasUnsent()
	c.link.received = max(c.link.received, min(received, c.link.sent))
	c.mu.Unlock()
	if wake {
		c.wakeWriter()
	}
}

func (c *Client) attached(all []*relayv1.Attached) {
	for _, a := range all {
		var err error
		if reason := a.GetError(); reason != "" {
			err = errors.New(reason)
		}
		c.handler.Attached(a.GetChannel(), decodePosition(a.GetPosition()), a.GetGap(), err)
	}
}

func (c *Client) deliver(all []*relayv1.Delivery) {
	for _, d := range all {
		c.metrics.deliveries.Add(float64(len(d.GetEvents())))
		c.arrived(d.GetEvents())
		c.handler.Deliver(d.GetChannel(), stream.Epoch(d.GetEpoch()), decodeEvents(d.GetEvents()))
	}
}

// delivered answers what was published here and has come back: it is stored.
func (c *Client) delivered(all []*relayv1.Delivery) {
	type answer struct {
		*entry
		Receipt
	}
	var answered []answer
	c.mu.Lock()
	for _, d := range all {
		for _, event := range d.GetEvents() {
			if event.GetOriginEdge() != c.edge {
				continue
			}
			// Packets that are not stored have results: they are no part of a
			// stream that could be replayed.
			if e := c.list.byID[event.GetOriginId()]; e != nil && e.stored() {
				c.list.remove(e)
				answered = append(answered, answer{e, Receipt{
					Outcome: Accepted, Epoch: stream.Epoch(d.GetEpoch()), Seq: event.GetSeq(),
				}})
			}
		}
	}
	c.removed()
	c.mu.Unlock()
	now := time.Now()
	for _, a := range answered {
		c.finish(a.entry, a.Receipt, now)
	}
}

func (c *Client) results(all []*relayv1.Result) {
	if len(all) == 0 {
		return
	}
	answered := make([]*entry, len(all))
	c.mu.Lock()
	for i, r := range all {
		answered[i] = c.list.answered(r.GetId())
	}
	c.removed()
	c.mu.Unlock()
	now := time.Now()
	for i, e := range answered {
		if e != nil { // nil: it was given up before
			c.finish(e, e.receipt(all[i]), now)
		}
	}
}

// receipt is what a result means for e. A refusal says nothing about what
// became of e on an earlier stream.
func (e *entry) receipt(r *relayv1.Result) Receipt {
	outcome := decodeOutcome(r.GetOutcome())
	if e.written > 1 && (outcome == Unavailable || outcome == Busy) {
		outcome = Unknown
	}
	return Receipt{
		Outcome:  outcome,
		Epoch:    stream.Epoch(r.GetEpoch()),
		Seq:      r.GetSeq(),
		Recalled: r.GetRecalled(),
		Reason:   r.GetReason(),
	}
}
