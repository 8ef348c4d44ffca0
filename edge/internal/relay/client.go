package relay

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/internal/metric"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Client is the edge's side of the relay. Its methods are safe for concurrent use,
// before, during and after Run.
//
// A publication waits in one list until it has a result: first to be written, then
// for the service. When a stream breaks, the messages in the list are written again
// on the next one, under the same ids and in the same order; the history service
// stores each once. Packets that are not stored would be broadcast twice, so those
// that were written are given up (Unknown). Nothing stays in the list longer than
// the publish timeout.
type Client struct {
	opts    Options
	rpc     relayv1.RelayServiceClient
	edge    uint64
	log     *slog.Logger
	metrics *metrics
	samples samples
	// Held while a Handler is called: its calls come one after another, although two
	// streams may be read.
	handling sync.Mutex

	mu     sync.Mutex
	list   ledger
	closed bool
	// The stream that is written to and whose events are handed on, and the one that
	// takes its place next; nil: there is none.
	link, next *link
	// Publications wait: the stream that they were written to is being left.
	held bool
	// The last channel that was opened. It is never reset, so that nothing of
	// an old stream can be taken for something of the present one.
	channel uint32
	// The number of the last run.
	runs uint32
	// Closed, and replaced by nil, when the list becomes empty.
	idle chan struct{}
	// Closed, and replaced by nil, when nothing that was written is unanswered.
	answered chan struct{}
}

// New makes a Client. Nothing happens before Run.
func New(conn grpc.ClientConnInterface, opts Options, log *slog.Logger, reg prometheus.Registerer) *Client {
	opts = opts.withDefaults()
	c := &Client{
		opts:    opts,
		rpc:     relayv1.NewRelayServiceClient(conn),
		edge:    rand.Uint64() | 1, // 0 is nobody
		log:     log,
		metrics: newMetrics(reg),
		list:    newLedger(opts.MaxItems, opts.MaxBytes),
	}
	metric.In(reg).GaugesFunc("gotapi_edge_history_services",
		"Connected history services that answer, by version.", "version", c.versions)
	return c
}

// Edge is the random name of this edge process, as in stream.Origin.
func (c *Client) Edge() uint64 { return c.edge }

// Up reports whether there is a stream now.
func (c *Client) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link != nil
}

// Publish sends a batch. It never blocks: when too much is waiting, publications are
// refused as Busy before Publish returns. Those of one group that follow each other in the
// batch are a run: after one whose Outcome may pass, the service stores none of them. A
// run has up to MaxRunItems and MaxRunBytes.
func (c *Client) Publish(batch ...*Publication) {
	now := time.Now()
	deadline := now.Add(c.opts.PublishTimeout)
	entries := make([]entry, len(batch))
	c.mu.Lock()
	var wake *link
	if !c.list.hasUnsent() {
		wake = c.link
	}
	var current *run
	admitted, refused := Sift(batch, func(i int) Result {
		e := &entries[i]
		e.init(batch[i], deadline)
		current = c.runOf(batch, i, current)
		if refusal := c.refusal(e); refusal.Outcome != 0 {
			return refusal
		}
		e.join(current)
		c.list.add(e)
		c.samples.begin(e.packet, now)
		return Result{}
	})
	if len(admitted) > 0 {
		c.measure()
	}
	c.mu.Unlock()
	for _, r := range refused {
		c.metrics.count(r.result.Outcome)
	}
	refused.End()
	if len(admitted) > 0 {
		wake.wakeWriter()
	}
}

// runOf returns the run of the ith publication of a batch; nil if it is in none. before is
// that of the one before it.
func (c *Client) runOf(batch []*Publication, i int, before *run) *run {
	switch g := batch[i].Group; {
	case i > 0 && batch[i-1].Group == g:
		return before
	case i+1 < len(batch) && batch[i+1].Group == g:
		c.runs++
		return &run{number: max(c.runs, 1)}
	default:
		return nil
	}
}

// refusal returns why e cannot be taken; its Outcome is 0 if it can.
func (c *Client) refusal(e *entry) Result {
	if c.closed {
		return Result{Outcome: Unavailable, Reason: "the server is going down"}
	}
	if c.list.byID[e.msg.Id] != nil {
		// Numbers wrap around after 2^32 publishes; the earlier one still waits.
		return Result{Outcome: Busy, Reason: "too much is waiting"}
	}
	if err := c.list.check(e); err != nil {
		return Result{Outcome: Busy, Reason: err.Error()}
	}
	return Result{}
}

// Attach opens a channel for g that goes on from a position, or from now on
// when from is nil. Handler.Attached follows. Without a stream it returns 0
// and does nothing: Handler.Restored will come.
func (c *Client) Attach(g group.Name, from *stream.Position) (channel uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return 0
	}
	c.channel++
	c.link.open(&relayv1.Interest{Channel: c.channel, Group: string(g), From: encodePosition(from)})
	return c.channel
}

// Detach ends a channel. Events on their way may still be delivered.
func (c *Client) Detach(channel uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link.end(channel)
	c.next.end(channel)
}

// Flush waits until every publication has its result. It returns ctx's error if
// that takes too long.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	if c.list.queue.Total.Items == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removed notes that entries have left the list.
func (c *Client) removed() {
	c.measure()
	if c.list.queue.Total.Items == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	if c.answered != nil && c.list.allAnswered() {
		close(c.answered)
		c.answered = nil
	}
}

func (c *Client) measure() {
	c.metrics.waiting.Set(float64(c.list.queue.Total.Items))
	c.metrics.waitingBytes.Set(float64(c.list.queue.Total.Bytes))
}

// finish hands out the result of e, which is no longer in the list.
func (c *Client) finish(e *entry, r Result, now time.Time) {
	c.metrics.count(r.Outcome)
	c.metrics.publishSeconds.Observe((c.opts.PublishTimeout - e.deadline.Sub(now)).Seconds())
	if r.Outcome != Accepted {
		c.samples.end(e.msg.GetId())
	} else if c.opts.Accepted != nil {
		c.opts.Accepted(e.packet, r)
	}
	e.packet.End(r)
}
