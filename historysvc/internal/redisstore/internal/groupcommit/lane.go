package groupcommit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// What goes into one batch and into one write. A script call of 128 messages
// keeps Redis busy for half a millisecond.
const (
	batchItems   = 128
	batchBytes   = 1 << 20
	writeBatches = 512
	writeBytes   = 4 << 20
	// What a waiting publication costs beside its payload.
	itemOverhead = 256
)

// backlog is what waits in one group, oldest first. While some of it is on its
// way, it is in no list of the lane.
type backlog struct {
	name  group.Name
	keys  layout.Keys
	items []Item
	// Everything without an answer, including the current write.
	load fairshare.Load
}

// result is a receipt that is due.
type result struct {
	item    Item
	receipt history.Receipt
}

// lane writes for some of the groups, one write at a time. A write takes everything that
// waits when the one before has ended. Only retries use a timer.
type lane struct {
	writer Writer
	opts   Options
	log    *slog.Logger
	stats  *metrics

	// Holds a token when there may be something to do.
	wake     chan struct{}
	adopters sync.WaitGroup

	mu     sync.Mutex
	closed bool
	groups map[group.Name]*backlog
	// Groups to write, in turns: a group goes to the end after each batch, so none
	// waits for another's flood.
	ready []*backlog
	// Groups whose last batch failed, until resume.
	failed   []*backlog
	resume   time.Time
	failures int // writes in a row
	total    fairshare.Load
}

func newLane(w Writer, o Options, log *slog.Logger, m *metrics) *lane {
	return &lane{
		writer: w, opts: o, log: log, stats: m,
		wake:   make(chan struct{}, 1),
		groups: make(map[group.Name]*backlog),
	}
}

func (l *lane) submit(i Item) {
	l.mu.Lock()
	err := l.enqueue(i)
	l.mu.Unlock()
	if err != nil {
		i.Run.Refuse()
		if errors.Is(err, history.ErrBusy) {
			l.stats.busy.Inc()
		}
		i.From.Settle(history.Receipt{Err: err})
		return
	}
	l.signal()
}

func (l *lane) enqueue(i Item) error {
	if l.closed || i.Run.Refuses() {
		return history.ErrUnavailable
	}
	size := i.size()
	b := l.groups[i.Group]
	var load fairshare.Load
	if b != nil {
		load = b.load
	}
	if l.opts.Limits.Check(l.total, load, size) != nil {
		return history.ErrBusy
	}
	if b == nil {
		b = &backlog{name: i.Group, keys: layout.KeysOf(i.Group)}
		l.groups[i.Group] = b
		l.ready = append(l.ready, b)
	}
	b.items = append(b.items, i)
	b.load.Add(size)
	l.total.Add(size)
	return nil
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends; then it refuses what is left.
func (l *lane) run(ctx context.Context) {
	for {
		batches := l.next(ctx)
		if batches == nil {
			break
		}
		l.write(ctx, batches)
		l.settle(ctx, batches)
	}
	l.adopters.Wait()
	send(l.close())
}

// next waits for work. It returns nil when ctx has ended.
func (l *lane) next(ctx context.Context) []*Batch {
	for ctx.Err() == nil {
		l.mu.Lock()
		batches, expired, wait := l.take(time.Now())
		l.mu.Unlock()
		send(expired)
		if len(batches) > 0 {
			return batches
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-l.wake:
		case <-due:
		case <-ctx.Done():
		}
	}
	return nil
}

// take makes the batches of one write. Without any, wait is the time until failed
// groups are due; 0 if there are none.
func (l *lane) take(now time.Time) (batches []*Batch, expired []result, wait time.Duration) {
	if len(l.failed) > 0 && !now.Before(l.resume) {
		l.ready = append(l.ready, l.failed...)
		l.failed = nil
	}
	bytes := 0
	for len(l.ready) > 0 && len(batches) < writeBatches && bytes < writeBytes {
		b := l.ready[0]
		l.ready = l.ready[1:]
		items, size, late := b.cut(now, l.opts.Separate)
		bytes += size
		for _, i := range late {
			expired = append(expired, l.release(b, i, history.Receipt{Err: i.giveUp()}))
		}
		if len(items) == 0 {
			delete(l.groups, b.name)
			continue
		}
		batches = append(batches, &Batch{Group: b.name, Keys: &b.keys, Items: items, from: b})
	}
	if len(l.failed) > 0 {
		wait = max(l.resume.Sub(now), 1)
	}
	return batches, expired, wait
}

// cut takes the next batch off b, and the publications before its end that are not
// tried again: their deadline has passed, or their run has failed. A separate batch has messages only or broadcasts only.
func (b *backlog) cut(now time.Time, separate bool) (items []Item, bytes int, late []Item) {
	n := 0
	for ; n < len(b.items) && len(items) < batchItems; n++ {
		i := b.items[n]
		switch {
		case now.After(i.Deadline), i.Run.Failed():
			late = append(late, i)
			continue
		case len(items) == 0:
		case bytes+len(i.Payload) > batchBytes, separate && i.Stored() != items[0].Stored():
			b.items = b.items[n:]
			return items, bytes, late
		}
		items = append(items, i)
		bytes += len(i.Payload)
	}
	b.items = b.items[n:]
	return items, bytes, late
}

// release takes i, which is in no list any more, off the books.
func (l *lane) release(b *backlog, i Item, r history.Receipt) result {
	size := i.size()
	b.load.Remove(size)
	l.total.Remove(size)
	i.Run.Fail(r.Err)
	return result{i, r}
}

// write executes batches. When ctx ends, answers may still come.
func (l *lane) write(ctx context.Context, batches []*Batch) {
	began := time.Now()
	call, cancel := redisconn.Bound(context.WithoutCancel(ctx), l.opts.Timeout)
	defer cancel()
	l.writer.Write(call, batches)
	packets := 0
	for _, b := range batches {
		packets += len(b.Items)
	}
	l.stats.packets.Observe(float64(packets))
	for _, b := range batches {
		for _, i := range b.Items {
			if i.Trace != nil {
				i.Trace.Attempted(began, packets, b.Err)
			}
		}
	}
}

// settle ends the publications that have a result, and queues the rest again.
func (l *lane) settle(ctx context.Context, batches []*Batch) {
	var due []result
	var failure error
	l.mu.Lock()
	for _, b := range batches {
		var again []Item
		due, again = l.divide(b, due)
		if len(again) > 0 {
			b.from.items = slices.Concat(again, b.from.items)
		}
		switch next := stepsAfter(b.Outcome).group; {
		case next == backOff:
			failure = b.Err
			l.failed = append(l.failed, b.from)
		case next == adopt:
			l.startAdoption(ctx, b.from)
		case len(b.from.items) > 0:
			l.ready = append(l.ready, b.from)
		default:
			delete(l.groups, b.from.name)
		}
	}
	before := l.failures
	if failure == nil {
		l.failures = 0
	} else {
		l.failures++
		l.resume = time.Now().Add(redisconn.Backoff.Delay(l.failures))
	}
	l.mu.Unlock()
	send(due)
	l.report(failure, before)
}

// divide adds the results of b's publications to due, and returns those that are
// to be tried again.
func (l *lane) divide(b *Batch, due []result) (_ []result, again []Item) {
	steps := stepsAfter(b.Outcome)
	for n, i := range b.Items {
		step := steps.broadcast
		if i.Stored() {
			step = steps.message
		}
		switch step {
		case retryUncertain:
			i.maybeStored = true
			again = append(again, i)
		case retry:
			again = append(again, i)
		case settle:
			due = append(due, l.release(b.from, i, b.receipt(n)))
		}
	}
	return due, again
}

// receipt is that of the nth item.
func (b *Batch) receipt(n int) history.Receipt {
	switch {
	case b.Outcome == redisconn.Done:
		return b.Receipts[n]
	case b.Outcome == redisconn.Refused && b.Items[n].maybeStored:
		return history.Receipt{Err: errors.Join(history.ErrUnknown, b.Err)}
	}
	return history.Receipt{Err: b.Outcome.Error(b.Err)}
}

// report logs the first failure and the end of failures. before is how many writes
// in a row had failed.
func (l *lane) report(failure error, before int) {
	if failure != nil {
		l.stats.retries.Inc()
	}
	if failure != nil && before == 0 {
		l.log.Warn("append failed, trying again", "error", failure)
	} else if failure == nil && before > 1 {
		l.log.Info("appends succeed again", "failed_rounds", before)
	}
}

// startAdoption makes the counters of b's group, which waits meanwhile. Other
// groups do not. l.mu is held.
func (l *lane) startAdoption(ctx context.Context, b *backlog) {
	l.adopters.Go(func() {
		err := l.writer.Adopt(ctx, b.name)
		var due []result
		l.mu.Lock()
		switch {
		case err == nil:
			l.ready = append(l.ready, b)
		case errors.Is(err, history.ErrWrongType):
			due = l.refuseMessages(b, err)
		default:
			l.failed = append(l.failed, b)
			l.resume = time.Now().Add(redisconn.Backoff.Max)
		}
		l.mu.Unlock()
		send(due)
		l.signal()
		if err != nil && ctx.Err() == nil {
			l.log.Warn("adopting a list failed, trying again", "error", err)
		}
	})
}

// refuseMessages refuses b's messages with err, which another try would not change.
// Broadcasts do not need the list, and go on. l.mu is held.
func (l *lane) refuseMessages(b *backlog, err error) (due []result) {
	var rest []Item
	for _, i := range b.items {
		if i.Stored() {
			due = append(due, l.release(b, i, history.Receipt{Err: err}))
		} else {
			rest = append(rest, i)
		}
	}
	b.items = rest
	if len(rest) > 0 {
		l.ready = append(l.ready, b)
	} else {
		delete(l.groups, b.name)
	}
	return due
}

// close refuses everything that waits or is submitted later.
func (l *lane) close() []result {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var due []result
	for _, b := range l.groups {
		for _, i := range b.items {
			due = append(due, l.release(b, i, history.Receipt{Err: i.giveUp()}))
		}
	}
	clear(l.groups)
	l.ready, l.failed = nil, nil
	return due
}

// send hands out results. No lock is held.
func send(due []result) {
	for _, a := range due {
		a.item.From.Settle(a.receipt)
	}
}
