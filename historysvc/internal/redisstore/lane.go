package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// What goes into one call and into one pipeline. A script call of 128 messages
// keeps Redis busy for half a millisecond.
const (
	callItems     = 128
	callBytes     = 1 << 20
	pipelineCalls = 512
	pipelineBytes = 4 << 20
	// What a waiting publication costs beside its payload.
	itemOverhead = 256

	// reserve is the part of a lane, 1/8, that is kept for groups with few
	// publications in it, 1/512: so floods in up to 64 groups do not shut out the
	// others.
	reserve = 8
	few     = 512
)

// limits bound what waits in a lane. What is beyond them is refused with
// history.ErrBusy.
type limits struct {
	items, bytes           int
	groupItems, groupBytes int
}

// waiting is a publication that has not had its answer.
type waiting struct {
	*history.Publication
	id digest
	// An earlier attempt got no answer: it may have been stored.
	maybe bool
}

func (w *waiting) size() int { return len(w.Payload) + itemOverhead }

func (w *waiting) message() bool { return w.Kind == stream.Message }

// giveUp is the answer to a publication that is not tried again.
func (w *waiting) giveUp() error {
	if w.maybe {
		return history.ErrUnknown
	}
	return history.ErrUnavailable
}

// backlog is what waits in one group, oldest first. While some of it is on its
// way, it is in no list of the lane.
type backlog struct {
	name  group.Name
	keys  keys
	items []waiting
	// Of all that has no answer yet, also what is on its way.
	count, bytes int
}

// batch is a part of a backlog on its way, and what became of it.
type batch struct {
	from  *backlog
	items []waiting
	// Filled in by the lane's execute. receipts, one per item, when fate is done.
	fate     fate
	err      error
	receipts []history.Receipt
	// Up to which number the group's pending payloads are confirmed now; 0: there are none.
	pending int64
}

// outcome is an answer that is due.
type outcome struct {
	waiting
	receipt history.Receipt
}

// lane stores and publishes for some of the groups: one pipeline at a time,
// made of whatever waits when the one before it is back, at most one batch of
// each group. There is no timer but that of a retry.
type lane struct {
	limits limits
	log    *slog.Logger
	stats  *metrics
	// execute carries out batches of different groups, and says of each what
	// became of it.
	execute func(context.Context, []*batch)
	// adopt makes the counters of a group whose list has none.
	adopt func(context.Context, group.Name) error
	// How long execute may take.
	timeout time.Duration
	// A batch has messages or broadcasts, not both: see announce.
	pure bool

	// Holds a token when there may be something to do.
	wake     chan struct{}
	adopters sync.WaitGroup

	mu     sync.Mutex
	closed bool
	groups map[group.Name]*backlog
	// Who is next. A group goes to the end after each batch, so that none
	// waits for another's flood.
	ready []*backlog
	// Groups whose last batch failed, until resume.
	parked       []*backlog
	resume       time.Time
	failures     int // rounds in a row
	count, bytes int
}

func newLane(l limits, log *slog.Logger, m *metrics) *lane {
	return &lane{
		limits: l,
		log:    log,
		stats:  m,
		wake:   make(chan struct{}, 1),
		groups: make(map[group.Name]*backlog),

		timeout: callTimeout,
	}
}

// submit takes a publication, or refuses it at once.
func (l *lane) submit(w waiting) {
	l.mu.Lock()
	err := l.enqueue(w)
	l.mu.Unlock()
	if err != nil {
		if errors.Is(err, history.ErrBusy) {
			l.stats.busy.Inc()
		}
		w.Done(history.Receipt{Err: err})
		return
	}
	l.signal()
}

// admits says whether a publication of b, which is nil if the group has nothing
// waiting, fits in.
func (l *lane) admits(b *backlog, size int) bool {
	if b != nil && (b.count >= l.limits.groupItems || b.bytes+size > l.limits.groupBytes) {
		return false
	}
	items, bytes := l.limits.items, l.limits.bytes
	if b != nil && b.count >= max(4, items/few) {
		items, bytes = items-items/reserve, bytes-bytes/reserve
	}
	return l.count < items && l.bytes+size <= bytes
}

func (l *lane) enqueue(w waiting) error {
	if l.closed {
		return history.ErrUnavailable
	}
	size := w.size()
	b := l.groups[w.Group]
	if !l.admits(b, size) {
		return history.ErrBusy
	}
	if b == nil {
		b = &backlog{name: w.Group, keys: keysOf(w.Group)}
		l.groups[w.Group] = b
		l.ready = append(l.ready, b)
	}
	b.items = append(b.items, w)
	b.count, b.bytes = b.count+1, b.bytes+size
	l.count, l.bytes = l.count+1, l.bytes+size
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
		l.round(ctx, batches)
	}
	l.adopters.Wait()
	finish(l.close())
}

// next waits for work. It returns nil when ctx has ended.
func (l *lane) next(ctx context.Context) []*batch {
	for ctx.Err() == nil {
		l.mu.Lock()
		batches, expired, wait := l.take(time.Now())
		l.mu.Unlock()
		finish(expired)
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

// take makes the batches of one round. Without any, wait says when the parked
// groups are due, if there are some.
func (l *lane) take(now time.Time) (batches []*batch, expired []outcome, wait time.Duration) {
	if len(l.parked) > 0 && !now.Before(l.resume) {
		l.ready = append(l.ready, l.parked...)
		l.parked = nil
	}
	bytes := 0
	for len(l.ready) > 0 && len(batches) < pipelineCalls && bytes < pipelineBytes {
		b := l.ready[0]
		l.ready = l.ready[1:]
		items, size, late := b.cut(now, l.pure)
		bytes += size
		for _, w := range late {
			expired = append(expired, l.settled(b, w, history.Receipt{Err: w.giveUp()}))
		}
		if len(items) == 0 {
			delete(l.groups, b.name)
			continue
		}
		batches = append(batches, &batch{from: b, items: items})
	}
	if len(l.parked) > 0 {
		wait = max(l.resume.Sub(now), 1)
	}
	return batches, expired, wait
}

// cut takes the next call's publications off b, and those before them whose
// deadline has passed. With pure they are messages, or are broadcasts.
func (b *backlog) cut(now time.Time, pure bool) (items []waiting, bytes int, late []waiting) {
	n := 0
	for n < len(b.items) && len(items) < callItems {
		w := b.items[n]
		if now.After(w.Deadline) {
			late = append(late, w)
			n++
			continue
		}
		if len(items) > 0 && (bytes+len(w.Payload) > callBytes || pure && w.message() != items[0].message()) {
			break
		}
		items = append(items, w)
		bytes += len(w.Payload)
		n++
	}
	b.items = b.items[n:]
	return items, bytes, late
}

// settled takes w, which is in no list any more, off the books.
func (l *lane) settled(b *backlog, w waiting, r history.Receipt) outcome {
	size := w.size()
	b.count, b.bytes = b.count-1, b.bytes-size
	l.count, l.bytes = l.count-1, l.bytes-size
	return outcome{w, r}
}

// round carries batches out and answers what can be answered.
func (l *lane) round(ctx context.Context, batches []*batch) {
	began := time.Now()
	deadline := began.Add(l.timeout)
	// A stop lets what is on its way come back.
	call, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	l.execute(call, batches)
	cancel()
	packets := packetsIn(batches)
	l.stats.batch.Observe(float64(packets))
	tellAttempt(batches, began, packets)

	var due []outcome
	var failed error
	l.mu.Lock()
	for _, b := range batches {
		again := l.settle(b, &due)
		if len(again) > 0 {
			b.from.items = slices.Concat(again, b.from.items)
		}
		switch {
		case b.fate == notDone || b.fate == unknown:
			failed = b.err
			l.parked = append(l.parked, b.from)
		case b.fate == mustAdopt:
			l.startAdoption(ctx, b.from)
		case len(b.from.items) > 0:
			l.ready = append(l.ready, b.from)
		default:
			delete(l.groups, b.from.name)
		}
	}
	before := l.failures
	if failed == nil {
		l.failures = 0
	} else {
		l.failures++
		l.resume = time.Now().Add(backoff(l.failures))
	}
	l.mu.Unlock()
	finish(due)

	if failed != nil {
		l.stats.retries.Inc()
	}
	if failed != nil && before == 0 {
		l.log.Warn("append failed, trying again", "error", failed)
	} else if failed == nil && before > 1 {
		l.log.Info("appends succeed again", "failed_rounds", before)
	}
}

// tellAttempt tells those who want to know that their publications were on the way.
func tellAttempt(batches []*batch, began time.Time, packets int) {
	for _, b := range batches {
		for i := range b.items {
			if tell := b.items[i].Attempt; tell != nil {
				tell(began, packets, b.err)
			}
		}
	}
}

func packetsIn(batches []*batch) (n int) {
	for _, b := range batches {
		n += len(b.items)
	}
	return n
}

// settle adds to due what b's publications are to be told, and returns those
// that are to be tried again.
func (l *lane) settle(b *batch, due *[]outcome) (again []waiting) {
	for i, w := range b.items {
		message := w.Kind == stream.Message
		r := history.Receipt{Err: domainError(b.fate, b.err)}
		switch {
		case b.fate == done:
			r = b.receipts[i]
		case b.fate == notDone, b.fate == mustAdopt:
			again = append(again, w)
			continue
		case b.fate == unknown && message:
			w.maybe = true
			again = append(again, w)
			continue
		case b.fate == wrongType && !message:
			// It does not need the list, and goes without the messages now.
			again = append(again, w)
			continue
		case b.fate == refused && w.maybe:
			r.Err = errors.Join(history.ErrUnknown, b.err)
		}
		*due = append(*due, l.settled(b.from, w, r))
	}
	return again
}

// startAdoption lets the group wait while its counters are made. Other groups
// do not.
func (l *lane) startAdoption(ctx context.Context, b *backlog) {
	l.adopters.Go(func() {
		err := l.adopt(ctx, b.name)
		l.mu.Lock()
		if err == nil {
			l.ready = append(l.ready, b)
		} else {
			l.parked = append(l.parked, b)
			l.resume = time.Now().Add(maxBackoff)
		}
		l.mu.Unlock()
		l.signal()
		if err != nil && ctx.Err() == nil {
			l.log.Warn("adopting a list failed, trying again", "error", err)
		}
	})
}

// close refuses all that waits, and what is submitted from now on.
func (l *lane) close() []outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var due []outcome
	for _, b := range l.groups {
		for _, w := range b.items {
			due = append(due, l.settled(b, w, history.Receipt{Err: w.giveUp()}))
		}
	}
	clear(l.groups)
	l.ready, l.parked = nil, nil
	return due
}

// finish gives answers. No lock is held.
func finish(due []outcome) {
	for _, o := range due {
		o.Done(o.receipt)
	}
}
