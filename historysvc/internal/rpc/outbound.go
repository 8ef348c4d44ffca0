package rpc

import (
	"sync"
	"sync/atomic"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// itemOverhead is about what an event or a notice occupies beside its packet,
// in bytes.
const itemOverhead = 128

// holdTime is how long a result may wait for a delivery to go with.
const holdTime = 50 * time.Millisecond

// outbound is what waits to be sent to one edge.
//
// Results are never refused: the edge bounds what it has unanswered. Notices
// about channels are never refused either: there is one for each channel, and
// one for each gap. Events are refused once maxBytes wait; channels that were
// refused are resumed when half of that is sent.
type outbound struct {
	maxBytes int
	metrics  *relayMetrics
	// Holds a token when there may be something to send.
	wake chan struct{}
	// The edge takes deliveries for results.
	answersItself atomic.Bool

	mu     sync.Mutex
	closed bool
	// Frames with publishes: received, and confirmed to the edge.
	received, confirmed uint64
	// Publishes received whose results are not in results yet.
	unanswered int
	results    []result
	// Some of them have to go now; others may wait for deliveries, for holdTime.
	urgent, holding bool
	// The stream is about to end: nothing is held.
	hurry bool
	// It has ended in order.
	over    bool
	items   []item
	bytes   int
	refused []*channel
	// Channels that are over, for the reader.
	failures []uint32
}

// result answers one publish.
type result struct {
	id      uint64
	outcome relayv1.Outcome
	epoch   stream.Epoch
	seq     uint64
	reason  string
	// Of a duplicate: the message has been recalled.
	recalled bool
}

// item is a notice about a channel, or events of it.
type item struct {
	channel uint32
	notice  *relayv1.Attached
	epoch   stream.Epoch
	events  []stream.Event
}

func newOutbound(maxBytes int, m *relayMetrics) *outbound {
	return &outbound{maxBytes: maxBytes, metrics: m, wake: make(chan struct{}, 1)}
}

func (o *outbound) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close makes o deaf.
func (o *outbound) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.results, o.items, o.refused = nil, nil, nil
}

// letDeliveriesAnswer notes whether the edge takes deliveries for results.
func (o *outbound) letDeliveriesAnswer(yes bool) { o.answersItself.Store(yes) }

func (o *outbound) deliveriesAnswer() bool { return o.answersItself.Load() }

// frameReceived counts a frame with that many publishes. It returns false when
// the stream has ended: the frame is not taken, and the edge sends it elsewhere.
func (o *outbound) frameReceived(publishes int) bool {
	o.mu.Lock()
	if o.over {
		o.mu.Unlock()
		return false
	}
	o.received++
	o.unanswered += publishes
	unconfirmed := o.received - o.confirmed
	o.mu.Unlock()
	if unconfirmed >= maxUnconfirmed {
		o.wakeUp()
	}
	return true
}

func (o *outbound) answer(r result) {
	o.metrics.publishes[r.outcome].Inc()
	o.mu.Lock()
	o.pushResult(r)
	o.urgent = true
	o.mu.Unlock()
	o.wakeUp()
}

// answerSoon is answer for a message whose delivery is about to come: the two
// share a frame. If it does not come after all, the result goes after holdTime.
func (o *outbound) answerSoon(r result) {
	o.metrics.publishes[r.outcome].Inc()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pushResult(r)
	if !o.holding && !o.closed {
		o.holding = true
		time.AfterFunc(holdTime, o.release)
	}
}

// answered counts the answer to a message whose delivery has been queued and
// says it all. When the stream is about to end, the result has to be seen, too.
func (o *outbound) answered(r result) {
	o.mu.Lock()
	if o.hurry {
		o.mu.Unlock()
		o.answer(r)
		return
	}
	o.unanswered--
	o.mu.Unlock()
	o.metrics.publishes[r.outcome].Inc()
}

func (o *outbound) pushResult(r result) {
	o.unanswered--
	if !o.closed {
		o.results = append(o.results, r)
	}
}

// release lets the results go that were held.
func (o *outbound) release() {
	o.mu.Lock()
	o.holding = false
	o.urgent = len(o.results) > 0
	urgent := o.urgent
	o.mu.Unlock()
	if urgent {
		o.wakeUp()
	}
}

// finish holds no results any more.
func (o *outbound) finish() {
	o.mu.Lock()
	o.hurry = true
	o.mu.Unlock()
	o.wakeUp()
}

// end ends the stream if every publish received has been answered, and every frame
// of them confirmed: the edge takes the others for not stored. If so, no more are
// taken: the reader may have got another frame by now.
func (o *outbound) end() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = o.unanswered == 0 && len(o.results) == 0 && o.confirmed == o.received
	return o.over
}

func (o *outbound) attached(channel uint32, at stream.Position, gap bool) {
	o.notify(&relayv1.Attached{Channel: channel, Position: relayPosition(at), Gap: gap})
}

// refuse says that a channel cannot be had.
func (o *outbound) refuse(channel uint32, why string) {
	o.notify(&relayv1.Attached{Channel: channel, Error: why})
}

// failed is refuse for a channel that had begun.
func (o *outbound) failed(channel uint32, err error) {
	o.refuse(channel, reasonOf(err))
	o.mu.Lock()
	o.failures = append(o.failures, channel)
	o.mu.Unlock()
}

// queued is how many bytes wait.
func (o *outbound) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// takeFailed returns the channels that have failed since the last call.
func (o *outbound) takeFailed() []uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	failures := o.failures
	o.failures = nil
	return failures
}

func (o *outbound) notify(notice *relayv1.Attached) {
	o.mu.Lock()
	o.push(item{channel: notice.GetChannel(), notice: notice}, itemOverhead)
	o.mu.Unlock()
	o.wakeUp()
}

// deliver returns false, and notes that c waits, when there is no room.
func (o *outbound) deliver(c *channel, epoch stream.Epoch, events []stream.Event) bool {
	size := 0
	for i := range events {
		size += sizeOf(&events[i])
	}
	o.mu.Lock()
	if o.bytes >= o.maxBytes {
		if !c.waits {
			o.metrics.refused.Inc()
			c.waits = true
			o.refused = append(o.refused, c)
		}
		o.mu.Unlock()
		return false
	}
	o.push(item{channel: c.id, epoch: epoch, events: events}, size)
	o.mu.Unlock()
	o.wakeUp()
	return true
}

func (o *outbound) push(i item, size int) {
	if o.closed {
		return
	}
	o.items = append(o.items, i)
	o.bytes += size
}

// sent makes room, and returns the channels to be resumed.
func (o *outbound) sent(bytes int) (resumed []*channel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= bytes
	if len(o.refused) == 0 || o.bytes > o.maxBytes/2 {
		return nil
	}
	resumed = o.refused
	o.refused = nil
	for _, c := range resumed {
		c.waits = false
	}
	return resumed
}

func sizeOf(e *stream.Event) int { return itemOverhead + len(e.UUID) + len(e.Payload) }
