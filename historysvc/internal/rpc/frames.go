package rpc

import (
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// Frames of publishes that may be unconfirmed before a confirmation is sent
	// by itself: the edge then waits for it (relay.proto).
	maxUnconfirmed = 2
	// Bounds of one frame to an edge. A single event may be larger.
	maxFrameItems   = 512
	maxFrameBytes   = 256 << 10
	maxFrameResults = 2048
)

// frames makes the frames of one stream out of what waits. It belongs to the
// goroutine that sends.
type frames struct {
	out *outbound
	// Taken from out and not yet in a frame: items[at:].
	items []item
	at    int

	// Of the frame being made.
	runs       []run
	deliveries []*relayv1.Delivery
	// The last delivery of each channel.
	byChannel map[uint32]int
	counts    []int
}

// run is a piece of an item that goes into a delivery.
type run struct {
	delivery int
	events   []stream.Event
}

func newFrames(out *outbound) *frames {
	return &frames{out: out, byChannel: make(map[uint32]int)}
}

// next returns nil when nothing is worth sending.
func (f *frames) next() *relayv1.ConnectResponse {
	frame, results := f.take()
	if frame == nil {
		return nil
	}
	frame.Results = resultMessages(results)
	bytes := f.fill(frame)
	if bytes > 0 {
		for _, c := range f.out.sent(bytes) {
			c.follower.Resume()
		}
	}
	return frame
}

// take begins a frame with what is needed from out.
func (f *frames) take() (*relayv1.ConnectResponse, []result) {
	o := f.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.at == len(f.items) {
		clear(f.items)
		f.items, o.items, f.at = o.items, f.items[:0], 0
	}
	unconfirmed := o.received - o.confirmed
	urgent := o.urgent || unconfirmed >= maxUnconfirmed || o.hurry && (len(o.results) > 0 || unconfirmed > 0)
	if len(f.items) == 0 && !urgent {
		return nil, nil
	}
	o.confirmed = o.received
	results := o.results[:min(len(o.results), maxFrameResults)]
	o.results = o.results[len(results):]
	if len(o.results) == 0 {
		o.results = nil
	}
	o.urgent = len(o.results) > 0
	return &relayv1.ConnectResponse{Received: o.confirmed, DeliveriesAnswer: o.deliveriesAnswer()}, results
}

// fill adds notices and events, and returns how many bytes left the queue.
func (f *frames) fill(frame *relayv1.ConnectResponse) (bytes int) {
	items, events := 0, 0
	for f.at < len(f.items) && items < maxFrameItems && bytes < maxFrameBytes {
		i := &f.items[f.at]
		if i.notice != nil {
			if _, ok := f.byChannel[i.channel]; ok {
				break // it is read before the deliveries, and some come before it
			}
			frame.Attached = append(frame.Attached, i.notice)
			bytes += itemOverhead
			items++
			f.at++
			continue
		}
		n := 0
		for n < len(i.events) && items+n < maxFrameItems && bytes < maxFrameBytes {
			bytes += sizeOf(&i.events[n])
			n++
		}
		f.add(i, n)
		items += n
		events += n
		if n == len(i.events) {
			f.at++
		} else {
			i.events = i.events[n:]
		}
	}
	f.pour(frame, events)
	return bytes
}

// add notes that the first n events of i go into the frame.
func (f *frames) add(i *item, n int) {
	d, ok := f.byChannel[i.channel]
	if !ok || f.deliveries[d].GetEpoch() != uint64(i.epoch) {
		d = len(f.deliveries)
		f.deliveries = append(f.deliveries, &relayv1.Delivery{Channel: i.channel, Epoch: uint64(i.epoch)})
		f.counts = append(f.counts, 0)
		f.byChannel[i.channel] = d
	}
	f.counts[d] += n
	f.runs = append(f.runs, run{d, i.events[:n]})
}

// pour makes the messages of all events in one allocation.
func (f *frames) pour(frame *relayv1.ConnectResponse, events int) {
	if events == 0 {
		return
	}
	messages := make([]relayv1.Event, events)
	pointers := make([]*relayv1.Event, events)
	used := 0
	for d, n := range f.counts {
		f.deliveries[d].Events = pointers[used : used : used+n]
		used += n
	}
	used = 0
	for _, r := range f.runs {
		d := f.deliveries[r.delivery]
		for i := range r.events {
			fillEvent(&messages[used], &r.events[i])
			d.Events = append(d.Events, &messages[used])
			used++
		}
	}
	f.out.metrics.events.Add(float64(events))
	frame.Deliveries = append([]*relayv1.Delivery(nil), f.deliveries...)
	clear(f.runs)
	clear(f.deliveries)
	clear(f.byChannel)
	f.runs, f.deliveries, f.counts = f.runs[:0], f.deliveries[:0], f.counts[:0]
}

func resultMessages(results []result) []*relayv1.Result {
	messages := make([]relayv1.Result, len(results))
	pointers := make([]*relayv1.Result, len(results))
	for i := range results {
		m, r := &messages[i], &results[i]
		m.Id, m.Outcome, m.Epoch, m.Seq, m.Reason = r.id, r.outcome, uint64(r.epoch), r.seq, r.reason
		m.Recalled = r.recalled
		pointers[i] = m
	}
	return pointers
}
