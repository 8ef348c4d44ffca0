// Package groupcommit gathers publications while the ones before them are on
// their way, and hands them on in batches, one per group.
//
// Publications wait in lanes, a group always in the same lane. A lane has one
// write on its way at a time, and in it at most one batch per group. So a group's
// publications are written in the order of Submit, whatever fails and is tried
// again: while a group's batch fails, its later publications wait behind it.
//
// What may wait is bounded, in all and per group; beyond the bounds Submit
// refuses. No group waits for the flood of another.
package groupcommit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Writer carries batches out.
type Writer interface {
	// Write stores and publishes batches of different groups, and sets the results
	// of each. It returns when ctx ends.
	Write(ctx context.Context, batches []*Batch)
	// Adopt makes the counters of a group whose list has none. It may be called at
	// once with Write.
	Adopt(ctx context.Context, g group.Name) error
}

// Item is a publication that waits for its receipt.
type Item struct {
	*history.Publication
	// Kind is as what the group gets it: a message that is not stored is Text.
	Kind stream.Kind
	// Of a message: what recognizes a retry.
	Digest layout.Digest
	// An earlier attempt got no answer: the publication may have been stored.
	maybeStored bool
}

// Stored reports whether the publication is a message, which is stored, and not a
// broadcast.
func (i *Item) Stored() bool { return i.Kind == stream.Message }

func (i *Item) size() int { return len(i.Payload) + itemOverhead }

// giveUp is the error of a publication that is not tried again.
func (i *Item) giveUp() error {
	if i.maybeStored {
		return history.ErrUnknown
	}
	return history.ErrUnavailable
}

// Batch is some of a group's publications, in order, on their way.
type Batch struct {
	Group group.Name
	Keys  *layout.Keys
	Items []Item

	// Results, set by Writer.Write. Receipts has one per item if the Outcome is Done.
	Outcome  redisconn.Outcome
	Err      error
	Receipts []history.Receipt

	from *backlog
}

// Stores reports whether any item is a message.
func (b *Batch) Stores() bool {
	for i := range b.Items {
		if b.Items[i].Stored() {
			return true
		}
	}
	return false
}

// Options configure a Queue.
type Options struct {
	// How many writes may be on their way at once.
	Lanes int
	// How long a write may take.
	Timeout time.Duration
	// A batch has messages or broadcasts, not both.
	Separate bool
	// What may wait. Publications beyond it are refused with history.ErrBusy.
	Limits fairshare.Limits
}

// Queue is all lanes. Its methods are safe for concurrent use.
type Queue struct{ lanes []*lane }

// New makes a Queue that hands on to w while Run runs.
func New(w Writer, o Options, log *slog.Logger, reg prometheus.Registerer) *Queue {
	o.Limits.Total.Items /= o.Lanes
	o.Limits.Total.Bytes /= o.Lanes
	m := newMetrics(reg)
	q := &Queue{}
	for range o.Lanes {
		q.lanes = append(q.lanes, newLane(w, o, log, m))
	}
	q.registerDepth(reg)
	return q
}

// Submit takes a publication, or refuses it at once. It does not block.
func (q *Queue) Submit(i Item) {
	q.lanes[layout.Slot(i.Group)*len(q.lanes)/layout.Slots].submit(i)
}

// Run works until ctx ends. Then it refuses what waits.
func (q *Queue) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, l := range q.lanes {
		running.Go(func() { l.run(ctx) })
	}
	running.Wait()
}

type metrics struct {
	retries, busy prometheus.Counter
	packets       prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	in := metric.In(reg)
	return &metrics{
		retries: in.Counter("gotapi_history_append_failures_total", "Pipelines that failed in part and were retried."),
		busy:    in.Counter("gotapi_history_publish_busy_total", "Publications refused because the queue for Redis, or their group's part of it, was full."),
		packets: in.Histogram("gotapi_history_append_pipeline_packets", "Messages and broadcasts in one pipeline to Redis.", prometheus.ExponentialBuckets(1, 4, 8)),
	}
}

// registerDepth exports what waits.
func (q *Queue) registerDepth(reg prometheus.Registerer) {
	gauge := func(name, help string, of func(fairshare.Load) int) {
		metric.In(reg).GaugeFunc(name, help, func() float64 {
			sum := 0
			for _, l := range q.lanes {
				l.mu.Lock()
				sum += of(l.total)
				l.mu.Unlock()
			}
			return float64(sum)
		})
	}
	gauge("gotapi_history_append_waiting", "Publications waiting for Redis; -publish-queue bounds them.",
		func(l fairshare.Load) int { return l.Items })
	gauge("gotapi_history_append_waiting_bytes", "Bytes of publications waiting for Redis; -publish-queue-bytes bounds them.",
		func(l fairshare.Load) int { return l.Bytes })
}
