package feed

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Pauses between attempts to read the store for a follower.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
)

// catchUp begins to read the store after f's place. The caller holds topic.mu.
func (f *Follower) catchUp(why cause) {
	f.phase = reading
	f.missed = false
	f.behind = nil
	f.hub.metrics.catchUps[why].Inc()
	f.askStore()
}

// job is a follower's place in the queue of those that call the store. There
// is one job for a follower at a time, so that no page is passed on twice.
type job struct {
	// It is queued, at work, or pausing before its next attempt.
	pending bool
	// It was asked for anew while it was at work.
	again bool
}

// askStore lets work be called soon. The caller holds topic.mu.
func (f *Follower) askStore() {
	if f.job.pending {
		f.job.again = true
		return
	}
	f.job.pending = true
	f.hub.reads.add(f)
}

// work makes one call of the store for f, and acts on the answer. It is called
// without locks.
func (f *Follower) work(ctx context.Context) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	f.job.again = false
	f.missed = false // what is heard from here on waits, or is missed
	switch f.phase {
	case attaching:
		f.readHead(ctx)
	case reading:
		f.readPage(ctx)
	default:
		f.job.pending = false
	}
	if f.job.again && !f.job.pending {
		f.askStore()
	}
}

// callStore lets the lock go during the call.
func (f *Follower) callStore(call func()) {
	f.topic.mu.Unlock()
	call()
	f.topic.mu.Lock()
	f.job.pending = false
}

// readHead attaches f by itself, after its head could not be had together with
// those of others.
func (f *Follower) readHead(ctx context.Context) {
	var head stream.Position
	var err error
	getHead := f.hub.head
	if f.unknown {
		getHead = f.hub.firstHead
	}
	f.callStore(func() { head, err = getHead(ctx, f.name) })
	switch {
	case f.phase != attaching:
	case err != nil:
		f.tryAgain(err)
	default:
		f.failures = 0
		f.attach(head)
	}
}

// readPage reads what comes next and passes it on.
func (f *Follower) readPage(ctx context.Context) {
	start := history.Start{After: f.pos}
	if f.start.AfterUUID != "" {
		start = history.Start{AfterUUID: f.start.AfterUUID}
	}
	var batch history.Batch
	var err error
	f.callStore(func() { batch, err = f.hub.read(ctx, f.name, start) })
	switch {
	case f.phase != reading:
	case err != nil:
		f.tryAgain(err)
	case batch.Gap:
		f.failures = 0
		f.restart(batch.Position)
	default:
		f.failures = 0
		f.takePage(&batch)
	}
}

// restart goes on at the head, because what stands before it is lost.
func (f *Follower) restart(head stream.Position) {
	f.hub.metrics.gaps.Inc()
	f.start = Start{}
	f.skips = stream.Skips{}
	f.begin(head, true)
	f.goLive()
}

func (f *Follower) takePage(batch *history.Batch) {
	if f.start.AfterUUID != "" {
		f.start = Start{}
		f.begin(startOf(batch), false)
	}
	if len(batch.Events) > 0 && !f.deliver(batch.Epoch, batch.Events) {
		f.buffer.take(&f.hub.buffered)
		f.phase = full
		return
	}
	f.pos = batch.Position
	if batch.More {
		f.askStore()
		return
	}
	f.goLive()
}

// startOf returns the place before the first event of a batch.
func startOf(b *history.Batch) stream.Position {
	if len(b.Events) == 0 {
		return b.Position
	}
	at := stream.Position{Epoch: b.Epoch, Recalls: b.Position.Recalls, Link: b.Events[0].Prev}
	at.Seq = b.Events[0].Seq
	if b.Events[0].Kind != stream.Recall {
		at.Seq--
	}
	for i := range b.Events {
		if b.Events[i].Kind == stream.Recall {
			at.Recalls = b.Events[i].Recalls - 1
			break
		}
	}
	return at
}

// tryAgain lets f work again after a pause, unless there is no hope. The
// caller holds topic.mu.
func (f *Follower) tryAgain(err error) {
	if errors.Is(err, history.ErrWrongType) {
		f.fail(err)
		return
	}
	h := f.hub
	h.noteFailure(err)
	pause := min(firstPause<<min(f.failures, 10), maxPause)
	f.failures++
	f.job.pending = true
	f.retry = time.AfterFunc(pause/2+rand.N(pause/2), func() { h.reads.add(f) })
}

// read returns what is stored after start. When there is a gap, no events but
// the head: what is retained is not replayed.
func (h *Hub) read(ctx context.Context, g group.Name, start history.Start) (history.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	batch, err := h.store.Read(ctx, g, start)
	if err == nil && batch.Gap && batch.More {
		batch.Position, err = h.head(ctx, g)
	}
	return batch, err
}

func (h *Hub) head(ctx context.Context, g group.Name) (stream.Position, error) {
	head := h.readHeads(ctx, []group.Name{g})[0]
	return head.Position, head.Err
}

// firstHead returns the head of a group without counters. There may be a list
// of an older server: it gets its counters when it is read. A follower that
// began before that would take the first new message for a loss.
func (h *Hub) firstHead(ctx context.Context, g group.Name) (stream.Position, error) {
	batch, err := h.read(ctx, g, history.Start{})
	if err != nil || !batch.More {
		return batch.Position, err
	}
	return h.head(ctx, g)
}

// noteFailure logs at most one failure a second: thousands of followers may
// find the store gone at the same moment.
func (h *Hub) noteFailure(err error) {
	h.metrics.retries.Inc()
	now := time.Now()
	last := h.lastFailure.Load()
	if now.Sub(time.Unix(0, last)) < time.Second || !h.lastFailure.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	h.log.Warn("cannot read the store for followers, trying again", "error", err)
}
