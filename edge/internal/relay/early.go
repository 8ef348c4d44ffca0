package relay

import (
	"errors"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Bounds of what an early may hold. Beyond them the move is given up.
const (
	maxEarlyBytes = 8 << 20
	maxEarlySeen  = 1 << 16
	// About what an event occupies beside its packet, bytes.
	eventOverhead = 200
)

var errTooMuch = errors.New("the old and the new stream differ too much")

// early holds what has come on a stream before it takes the place of another one, and
// what the other one has brought meanwhile.
type early struct {
	frames []*relayv1.ConnectResponse
	bytes  int
	// What came on the other stream.
	seen seen
	// Channels that are not attached yet, and what is closed when there is none.
	waiting map[uint32]struct{}
	done    chan struct{}
}

func newEarly() *early {
	return &early{seen: make(seen), waiting: make(map[uint32]struct{}), done: make(chan struct{})}
}

// await notes that channels are to be attached.
func (e *early) await(channels []uint32) {
	e.done = make(chan struct{})
	for _, id := range channels {
		e.waiting[id] = struct{}{}
	}
	e.closeIfAttached()
}

// attached returns a channel that is closed when all channels are attached.
func (e *early) attached() <-chan struct{} { return e.done }

func (e *early) closeIfAttached() {
	if len(e.waiting) > 0 {
		return
	}
	select {
	case <-e.done:
	default:
		close(e.done)
	}
}

// seen are packets that are not stored and came on one of two streams. Each comes once
// on each of them, so it is forgotten when it has come on the other one.
type seen map[stream.Origin]struct{}

func (s seen) add(deliveries []*relayv1.Delivery) {
	for _, d := range deliveries {
		for _, event := range d.GetEvents() {
			if !stream.Kind(event.GetKind()).Stored() {
				s[originOf(event)] = struct{}{}
			}
		}
	}
}

// take reports whether e is one of them, and forgets it.
func (s seen) take(e *relayv1.Event) bool {
	if len(s) == 0 || stream.Kind(e.GetKind()).Stored() {
		return false
	}
	origin := originOf(e)
	_, ok := s[origin]
	delete(s, origin)
	return ok
}

// others returns the deliveries without what was seen.
func (s seen) others(deliveries []*relayv1.Delivery) []*relayv1.Delivery {
	if len(s) == 0 {
		return deliveries
	}
	rest := make([]*relayv1.Delivery, 0, len(deliveries))
	for _, d := range deliveries {
		other := &relayv1.Delivery{Channel: d.GetChannel(), Epoch: d.GetEpoch()}
		for _, e := range d.GetEvents() {
			if !s.take(e) {
				other.Events = append(other.Events, e)
			}
		}
		rest = append(rest, other)
	}
	return rest
}

func originOf(e *relayv1.Event) stream.Origin {
	return stream.Origin{Edge: e.GetOriginEdge(), ID: e.GetOriginId()}
}

// keep keeps a frame. If too much is kept, it lets go of what the other stream has
// brought as well.
func (e *early) keep(frame *relayv1.ConnectResponse, h Handler) error {
	for _, a := range frame.GetAttached() {
		delete(e.waiting, a.GetChannel())
	}
	e.closeIfAttached()
	e.frames = append(e.frames, frame)
	e.bytes += sizeOf(frame)
	if e.bytes < maxEarlyBytes && len(e.seen) < maxEarlySeen {
		return nil
	}
	e.frames, e.bytes = e.rest(h.Channels()), 0
	for _, f := range e.frames {
		e.bytes += sizeOf(f)
	}
	if e.bytes > maxEarlyBytes/2 || len(e.seen) > maxEarlySeen/2 {
		return errTooMuch
	}
	return nil
}

func sizeOf(frame *relayv1.ConnectResponse) int {
	size := len(frame.GetAttached()) * eventOverhead
	for _, d := range frame.GetDeliveries() {
		for _, event := range d.GetEvents() {
			size += len(event.GetPayload()) + eventOverhead
		}
	}
	return size
}

// rest returns what has come for the channels on this stream alone.
func (e *early) rest(channels map[uint32]Channel) (frames []*relayv1.ConnectResponse) {
	for _, frame := range e.frames {
		rest := &relayv1.ConnectResponse{}
		for _, a := range frame.GetAttached() {
			if c, ok := channels[a.GetChannel()]; ok && !c.reached(a) {
				rest.Attached = append(rest.Attached, a)
			}
		}
		for _, d := range frame.GetDeliveries() {
			c, ok := channels[d.GetChannel()]
			if !ok {
				continue
			}
			if events := e.unseen(&c, d); len(events) > 0 {
				rest.Deliveries = append(rest.Deliveries, &relayv1.Delivery{Channel: d.GetChannel(), Epoch: d.GetEpoch(), Events: events})
			}
		}
		if len(rest.GetAttached())+len(rest.GetDeliveries()) > 0 {
			frames = append(frames, rest)
		}
	}
	return frames
}

// reached reports whether the channel is where the notice says that it is attached,
// or further: then the notice says nothing new.
func (c *Channel) reached(a *relayv1.Attached) bool {
	at := decodePosition(a.GetPosition())
	return a.GetError() == "" && c.At != nil && c.At.Epoch == at.Epoch && !c.At.Before(at)
}

// unseen returns the events of d that the channel has not got.
func (e *early) unseen(c *Channel, d *relayv1.Delivery) (events []*relayv1.Event) {
	decoded := decodeEvents(d.GetEvents())
	for i, event := range d.GetEvents() {
		var at stream.Position
		if c.At != nil {
			at = *c.At
		}
		if at.Next(stream.Epoch(d.GetEpoch()), &decoded[i]) != stream.Old && !e.seen.take(event) {
			events = append(events, event)
		}
	}
	return events
}
