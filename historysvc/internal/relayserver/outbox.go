package relayserver

import (
	"sync"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// Frames of publishes that may be unconfirmed before a confirmation is sent
	// by itself: the edge then waits for it (relay.proto).
	maxUnconfirmed = 2
	// itemOverhead is about what an event or a notice occupies beside its packet,
	// in bytes.
	itemOverhead = 128
)

// outbox holds what waits to be sent to one edge, and packs it into frames.
//
// It never refuses results, because the edge bounds its unanswered publishes, nor
// notices, because there is one for each channel and for each gap. It refuses
// events while maxBytes wait; refused channels resume once half of that is sent.
type outbox struct {
	maxBytes int
	metrics  *metrics
	// Holds a token when there may be something to send.
	wake chan struct{}
	// The frame that is being made. It belongs to the goroutine that sends.
	frame frame

	mu    sync.Mutex
	state outboxState
	// Frames with publishes: received, and confirmed to the edge.
	received, confirmed uint64
	// Publishes received whose results were not added yet.
	pending int
	results []*relayv1.Result
	// Items that wait, and the bytes of these and of the frame's.
	items []item
	bytes int
	// Channels that were refused room.
	refused []*channel
	// The edge has yet to learn that it may move.
	mayMove bool
}

type outboxState uint8

const (
	open outboxState = iota
	// The stream ends when all results are sent and all frames confirmed.
	finishing
	// The stream has ended: nothing is taken.
	closed
)

// item is a notice about a channel, or events of it.
type item struct {
	channel *channel
	notice  *relayv1.Attached
	epoch   stream.Epoch
	events  []stream.Event
}

func newOutbox(maxBytes int, m *metrics) *outbox {
	return &outbox{maxBytes: maxBytes, metrics: m, wake: make(chan struct{}, 1)}
}

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// frameReceived counts a frame with that many publishes. It returns false if the
// stream has ended: then the frame must not be taken, and the edge sends it to
// another service.
func (o *outbox) frameReceived(publishes int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == closed {
		return false
	}
	o.received++
	o.pending += publishes
	if o.mustConfirm() {
		o.wakeUp()
	}
	return true
}

// mustConfirm reports whether a confirmation is worth a frame. The caller holds mu.
func (o *outbox) mustConfirm() bool {
	n := o.received - o.confirmed
	return n >= maxUnconfirmed || n > 0 && o.state == finishing
}

// addResult sends the result of a publish. It must not be changed any more.
func (o *outbox) addResult(r *relayv1.Result) {
	o.metrics.publishes[r.GetOutcome()].Inc()
	o.mu.Lock()
	o.pending--
	if o.state != closed {
		o.results = append(o.results, r)
	}
	o.mu.Unlock()
	o.wakeUp()
}

// letMove tells the edge that it may move.
func (o *outbox) letMove() {
	o.mu.Lock()
	o.mayMove = true
	o.mu.Unlock()
	o.wakeUp()
}

// finish lets the stream end as soon as every publish has its result.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == open {
		o.state = finishing
		o.wakeUp()
	}
}

// finished reports whether the stream is over: every publish received has its result,
// and every frame is confirmed, because the edge takes the others for not stored. Then
// it closes the outbox, so that no frame is taken that the reader may have got by now.
func (o *outbox) finished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == finishing && o.pending == 0 && len(o.results) == 0 && o.confirmed == o.received {
		o.clear()
	}
	return o.state == closed
}

// close ends the stream in any state.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clear()
}

// clear closes the outbox. The caller holds mu.
func (o *outbox) clear() {
	o.state = closed
	o.count(-o.bytes)
	o.results, o.items, o.refused = nil, nil, nil
}

// attach tells the edge after which position a channel's events begin.
func (o *outbox) attach(c *channel, at stream.Position, gap bool) {
	o.notify(c, &relayv1.Attached{Channel: c.id, Position: relayPosition(at), Gap: gap})
}

// refuse tells the edge that a channel is over.
func (o *outbox) refuse(c *channel, why string) {
	o.notify(c, &relayv1.Attached{Channel: c.id, Error: why})
}

func (o *outbox) notify(c *channel, notice *relayv1.Attached) {
	o.mu.Lock()
	o.add(item{channel: c, notice: notice}, itemOverhead)
	o.mu.Unlock()
	o.wakeUp()
}

// deliver returns false, and notes that c waits, if there is no room.
func (o *outbox) deliver(c *channel, epoch stream.Epoch, events []stream.Event) bool {
	size := 0
	for i := range events {
		size += sizeOf(&events[i])
	}
	o.mu.Lock()
	full := o.bytes >= o.maxBytes
	if full {
		o.wait(c)
	} else {
		o.add(item{channel: c, epoch: epoch, events: events}, size)
	}
	o.mu.Unlock()
	if !full {
		o.wakeUp()
	}
	return !full
}

// wait notes that c waits for room. The caller holds mu.
func (o *outbox) wait(c *channel) {
	if !c.waits {
		o.metrics.refused.Inc()
		c.waits = true
		o.refused = append(o.refused, c)
	}
}

// add adds an item unless the stream has ended. The caller holds mu.
func (o *outbox) add(i item, size int) {
	if o.state != closed {
		o.items = append(o.items, i)
		o.count(size)
	}
}

// next makes the next frame; nil if nothing needs to be sent. One goroutine calls
// it.
func (o *outbox) next() *relayv1.ConnectResponse {
	if !o.beginFrame() {
		return nil
	}
	for _, c := range o.pack() {
		c.follower.Resume()
	}
	o.metrics.events.Add(float64(o.frame.events))
	return o.frame.response()
}

// beginFrame begins a frame with a confirmation and results, and hands it the items
// that wait once it has packed the ones before. It returns false if nothing needs to
// be sent.
func (o *outbox) beginFrame() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &o.frame
	if f.packed() {
		f.items, o.items, f.at = o.items, f.items[:0], 0
	}
	if f.packed() && len(o.results) == 0 && !o.mustConfirm() && !o.mayMove {
		return false
	}
	o.confirmed = o.received
	f.begin(o.confirmed)
	f.mayMove, o.mayMove = o.mayMove, false
	o.results = f.addResults(o.results)
	return true
}

// pack moves what fits into the frame. Once half of the room is free, it returns the
// channels that were refused.
func (o *outbox) pack() []*channel {
	o.frame.addItems()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count(-o.frame.bytes)
	if o.bytes > o.maxBytes/2 {
		return nil
	}
	resumed := o.refused
	o.refused = nil
	for _, c := range resumed {
		c.waits = false
	}
	return resumed
}

// count changes the number of bytes that wait. The caller holds mu.
func (o *outbox) count(bytes int) {
	o.bytes += bytes
	o.metrics.queuedBytes.Add(int64(bytes))
}

func sizeOf(e *stream.Event) int { return itemOverhead + len(e.UUID) + len(e.By.Name) + len(e.Payload) }
