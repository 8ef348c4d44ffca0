package feed

import (
	"context"
	"errors"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// callBackoff spaces out calls of the store after failures.
var callBackoff = backoff.Policy{Min: 50 * time.Millisecond, Max: 2 * time.Second}

// A follower makes its calls in a loop: ask queues it, a worker calls the store
// without a lock, and endCall queues it again while it needs the store.

// ask makes sure that a call of the store begins after this moment. The caller
// holds topic.mu, as for all methods of Follower here that do not say otherwise.
func (f *Follower) ask() {
	f.call.dirty = true
	if !f.call.pending {
		f.call.pending = true
		f.enqueue()
	}
}

// needsStore reports whether f cannot go on without the store.
func (f *Follower) needsStore() bool {
	switch f.state {
	case attaching, adopting, reading:
		return true
	case live:
		return f.call.dirty
	default:
		return false
	}
}

// asksHead reports whether f's next call is for the head alone.
func (f *Follower) asksHead() bool { return f.state == attaching || f.state == live }

// enqueue puts f into the queue for its next call. Heads are read for many
// followers together, but after a failure each follower asks for itself, so that
// a part of the store that is down does not delay others.
func (f *Follower) enqueue() {
	if f.asksHead() && f.call.failures == 0 {
		f.hub.heads.add(f)
	} else {
		f.hub.reads.add(f)
	}
}

// beginCall starts the call that f was queued for. It returns false if f does not
// need it any more.
func (f *Follower) beginCall() bool {
	if !f.needsStore() {
		f.call.pending = false
		return false
	}
	f.call.dirty = false // events that arrive from here on are kept, or set it
	return true
}

// endCall ends a call and begins the next one if there has to be one.
func (f *Follower) endCall() {
	f.call.pending, f.call.failures = false, 0
	if f.needsStore() {
		f.ask()
	}
}

// retry makes the call again after a pause, unless it can never succeed.
func (f *Follower) retry(err error) {
	if f.state == ended {
		return
	}
	if errors.Is(err, history.ErrWrongType) {
		f.fail(err)
		return
	}
	f.hub.noteFailure(err)
	f.call.failures++
	f.call.dirty = true
	time.AfterFunc(callBackoff.Delay(f.call.failures), func() {
		f.topic.mu.Lock()
		defer f.topic.mu.Unlock()
		f.enqueue()
	})
}

// takeHead takes the head of the stream. from is f's position when it asked.
func (f *Follower) takeHead(head history.Head, from stream.Position) {
	if head.Err != nil {
		f.retry(head.Err)
		return
	}
	switch {
	case f.call.dirty: // the next answer counts
	case f.state == attaching && head.Position == (stream.Position{}):
		f.state = adopting
	case f.state == attaching, f.state == adopting:
		f.attach(head.Position, false)
		f.goLive()
	case f.state == live:
		moved := f.pos != from && head.Position.Before(f.pos)
		if head.Position != f.pos && !moved {
			f.catchUp(causeSubscribed)
		} else {
			f.start.Last = 0
		}
	}
	f.endCall()
}

// takePage takes the events that the store has after f's position.
func (f *Follower) takePage(page history.Batch, err error) {
	if err != nil {
		f.retry(err)
		return
	}
	if f.state == reading {
		f.passPage(&page)
	}
	f.endCall()
}

func (f *Follower) passPage(page *history.Batch) {
	if page.Gap {
		f.hub.metrics.gaps.Inc()
		if f.start.AfterUUID == "" { // an unknown uuid may never have been there
			f.topic.logLoss(f.hub.log, page.Position)
		}
	}
	if page.Gap || !f.attached {
		f.attach(startOf(page), page.Gap)
	}
	f.start.Last = 0
	if len(page.Events) > 0 && !f.deliver(page.Epoch, page.Events, page.Position) {
		for _, a := range f.buffer.take(&f.hub.buffered) {
			f.drop(a.events)
		}
		f.state = full
		return
	}
	f.pos = page.Position
	if !page.More {
		f.goLive()
	}
}

// startOf returns the position before the first event of a page.
func startOf(b *history.Batch) stream.Position {
	if len(b.Events) == 0 {
		return b.Position
	}
	at := stream.Position{Epoch: b.Epoch, Changes: b.Position.Changes, Link: b.Events[0].Prev}
	at.Seq = b.Events[0].Seq
	if b.Events[0].Kind != stream.Recall {
		at.Seq--
	}
	for i := range b.Events {
		if b.Events[i].Kind == stream.Recall {
			at.Changes = b.Events[i].Changes - 1
			break
		}
	}
	return at
}

// serveHeads reads heads, for many followers in one call, until ctx ends.
func (h *Hub) serveHeads(ctx context.Context) {
	for {
		followers := h.heads.take(ctx, headsPerCall)
		if followers == nil {
			return
		}
		h.readHeadsFor(ctx, followers)
	}
}

func (h *Hub) readHeadsFor(ctx context.Context, queued []*Follower) {
	var followers []*Follower
	var groups []group.Name
	var positions []stream.Position
	for _, f := range queued {
		f.topic.mu.Lock()
		switch {
		case !f.beginCall():
		case !f.asksHead(): // it has found a hole since it was queued
			f.enqueue()
		default:
			followers = append(followers, f)
			groups = append(groups, f.group)
			positions = append(positions, f.pos)
		}
		f.topic.mu.Unlock()
	}
	for i, head := range h.readHeads(ctx, groups) {
		f := followers[i]
		f.topic.mu.Lock()
		f.takeHead(head, positions[i])
		f.topic.mu.Unlock()
	}
}

// serveReads makes the calls of one follower after another until ctx ends.
func (h *Hub) serveReads(ctx context.Context) {
	for {
		followers := h.reads.take(ctx, 1)
		if followers == nil {
			return
		}
		followers[0].read(ctx)
	}
}

// read makes one call of the store for f and takes the answer. The caller holds
// no lock.
func (f *Follower) read(ctx context.Context) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if !f.beginCall() {
		return
	}
	doing, start, from := f.state, f.readFrom(), f.pos
	f.topic.mu.Unlock()
	var head history.Head
	var page history.Batch
	var err error
	switch doing {
	case adopting:
		head = f.hub.adopt(ctx, f.group)
	case reading:
		page, err = f.hub.read(ctx, f.group, start)
	default:
		head = f.hub.head(ctx, f.group)
	}
	f.topic.mu.Lock()
	if doing == reading {
		f.takePage(page, err)
	} else {
		f.takeHead(head, from)
	}
}

// readFrom returns where f reads the store. After a loss it gets no retained messages but
// those that its Start asks for.
func (f *Follower) readFrom() history.Start {
	lost := history.FromNewest(uint32(f.start.Last))
	switch {
	case f.start.AfterUUID != "":
		return history.Start{AfterUUID: f.start.AfterUUID, IfLost: lost}
	case !f.attached:
		return history.Start{Newest: f.start.Last}
	default:
		return history.Start{After: f.pos, IfLost: lost}
	}
}

func (h *Hub) read(ctx context.Context, g group.Name, start history.Start) (history.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return h.store.Read(ctx, g, start)
}

// adopt returns the head of a group without counters. The group may have a list
// of an older server, which gets its counters when it is read. A follower that
// began before that would take the first new message for a loss.
func (h *Hub) adopt(ctx context.Context, g group.Name) history.Head {
	page, err := h.read(ctx, g, history.Start{IfLost: history.FromNow})
	if err != nil || !page.More {
		return history.Head{Position: page.Position, Err: err}
	}
	return h.head(ctx, g)
}

func (h *Hub) head(ctx context.Context, g group.Name) history.Head {
	return h.readHeads(ctx, []group.Name{g})[0]
}

func (h *Hub) readHeads(ctx context.Context, groups []group.Name) []history.Head {
	if len(groups) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return h.bus.Heads(ctx, groups)
}

// noteFailure logs at most one failure a second: thousands of followers may find
// the store gone at the same moment.
func (h *Hub) noteFailure(err error) {
	h.metrics.retries.Inc()
	now := time.Now()
	last := h.lastFailure.Load()
	if now.Sub(time.Unix(0, last)) < time.Second || !h.lastFailure.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	h.log.Warn("reading the store for followers failed, trying again", "error", err)
}
