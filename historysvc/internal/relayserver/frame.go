package relayserver

import (
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Bounds of one frame to an edge. A single event may be larger.
const (
	maxFrameItems   = 512
	maxFrameBytes   = 256 << 10
	maxFrameResults = 2048
)

// frame collects what goes to an edge together. Events of one channel share a
// delivery. It is reused for the next frame.
type frame struct {
	// Items to be packed are items[at:].
	items []item
	at    int

	number   uint64
	received uint64
	mayMove  bool
	results  []*relayv1.Result
	notices  []*relayv1.Attached

	deliveries []delivery
	runs       []run
	// Number of events, and bytes of events and notices.
	events, bytes int
}

// delivery is events of one channel and epoch.
type delivery struct {
	channel uint32
	epoch   stream.Epoch
	events  int
}

// run is a piece of a delivery, in the order in which it is sent.
type run struct {
	delivery int
	events   []stream.Event
}

// begin begins a frame that confirms the frames received.
func (f *frame) begin(received uint64) {
	f.number++
	f.received = received
	f.events, f.bytes = 0, 0
	f.deliveries, f.runs = f.deliveries[:0], f.runs[:0]
}

// addResults returns the results that do not fit.
func (f *frame) addResults(results []*relayv1.Result) (rest []*relayv1.Result) {
	n := min(len(results), maxFrameResults)
	f.results = results[:n:n]
	if n == len(results) {
		return nil
	}
	return results[n:]
}

// packed reports whether all items are packed.
func (f *frame) packed() bool { return f.at == len(f.items) }

// addItems packs the items that fit. Edges read a frame's notices before its
// deliveries, so a notice that follows events of its channel has to wait for the
// next frame.
func (f *frame) addItems() {
	for !f.packed() && f.hasRoom() {
		i := &f.items[f.at]
		switch {
		case i.notice == nil:
			i.events = f.addEvents(i)
			if len(i.events) > 0 {
				return
			}
		case i.channel.frame == f.number:
			return
		default:
			f.notices = append(f.notices, i.notice)
			f.bytes += itemOverhead
		}
		*i = item{}
		f.at++
	}
}

func (f *frame) hasRoom() bool {
	return len(f.notices)+f.events < maxFrameItems && f.bytes < maxFrameBytes
}

// addEvents returns the events of i that do not fit.
func (f *frame) addEvents(i *item) (rest []stream.Event) {
	n := 0
	for n < len(i.events) && f.hasRoom() {
		f.bytes += sizeOf(&i.events[n])
		f.events++
		n++
	}
	c := i.channel
	if c.frame != f.number || f.deliveries[c.delivery].epoch != i.epoch {
		c.frame, c.delivery = f.number, len(f.deliveries)
		f.deliveries = append(f.deliveries, delivery{channel: c.id, epoch: i.epoch})
	}
	f.deliveries[c.delivery].events += n
	f.runs = append(f.runs, run{c.delivery, i.events[:n]})
	return i.events[n:]
}

// response makes the message of the frame, which keeps nothing.
func (f *frame) response() *relayv1.ConnectResponse {
	r := &relayv1.ConnectResponse{Received: f.received, Results: f.results, Attached: f.notices, MayMove: f.mayMove}
	f.results, f.notices = nil, nil
	if f.events > 0 {
		r.Deliveries = f.messages()
		clear(f.runs)
	}
	return r
}

// messages allocates all events at once.
func (f *frame) messages() []*relayv1.Delivery {
	messages := make([]relayv1.Event, f.events)
	pointers := make([]*relayv1.Event, f.events)
	all := make([]*relayv1.Delivery, len(f.deliveries))
	used := 0
	for i, d := range f.deliveries {
		all[i] = &relayv1.Delivery{Channel: d.channel, Epoch: uint64(d.epoch), Events: pointers[used : used : used+d.events]}
		used += d.events
	}
	used = 0
	for _, run := range f.runs {
		d := all[run.delivery]
		for i := range run.events {
			fillEvent(&messages[used], &run.events[i])
			d.Events = append(d.Events, &messages[used])
			used++
		}
	}
	return all
}
