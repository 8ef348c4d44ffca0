package feed

import (
	"context"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// check is a follower's question for the head of its group. It is guarded by
// topic.mu.
type check struct {
	asked bool
	// The answer to the present question is too old; ask again.
	again bool
	// The follower's place when it asked.
	from stream.Position
}

// compareWithHead asks for the head, which is read after this call. Questions
// travel together with those of other followers.
func (f *Follower) compareWithHead() {
	if f.check.asked {
		f.check.again = true
		return
	}
	f.check = check{asked: true, from: f.pos}
	f.hub.heads.add(f)
}

// checkHeads answers the questions of up to headsPerCall followers.
func (h *Hub) checkHeads(ctx context.Context, followers []*Follower) {
	names := make([]group.Name, len(followers))
	for i, f := range followers {
		names[i] = f.name
	}
	heads := h.readHeads(ctx, slices.Clone(names))
	for i, f := range followers {
		f.topic.mu.Lock()
		if heads[i].Err != nil {
			f.withoutHead()
		} else {
			f.compare(heads[i].Position)
		}
		f.topic.mu.Unlock()
	}
}

// compare takes the answer of compareWithHead.
func (f *Follower) compare(head stream.Position) {
	c := f.check
	f.check = check{}
	if c.again {
		f.compareWithHead()
		return
	}
	switch f.phase {
	case attaching:
		if head == (stream.Position{}) {
			f.unknown = true
			f.askStore()
			return
		}
		f.attach(head)
	case live:
		moved := f.pos != c.from && head.Before(f.pos)
		if head != f.pos && !moved {
			f.catchUp(causeSubscribed)
		}
	default: // it reads the store anyway, or is over
	}
}

// withoutHead goes on by itself: what it could not have together with others,
// one of which may be the reason, it tries to get alone.
func (f *Follower) withoutHead() {
	f.check = check{}
	switch f.phase {
	case attaching:
		f.askStore()
	case live:
		f.catchUp(causeSubscribed)
	default: // it reads the store anyway, or is over
	}
}

// keepPolling finds followers that stand still behind the head.
func (h *Hub) keepPolling(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.poll(ctx)
		}
	}
}

func (h *Hub) poll(ctx context.Context) {
	for topics := range slices.Chunk(h.allTopics(), headsPerCall) {
		names := make([]group.Name, len(topics))
		for i, t := range topics {
			names[i] = t.name
		}
		heads := h.readHeads(ctx, names)
		for i, t := range topics {
			// What could not be had is left to the next poll, which comes soon.
			if heads[i].Err == nil {
				t.poll(heads[i].Position)
			}
		}
	}
}

// poll compares the followers' places with the head of the stream.
func (t *topic) poll(head stream.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		if f.phase != live || f.pos == head {
			f.behind = nil
			continue
		}
		if f.behind != nil && *f.behind == f.pos {
			f.catchUp(causeBehind)
			continue
		}
		at := f.pos
		f.behind = &at
	}
}

func (h *Hub) readHeads(ctx context.Context, groups []group.Name) []history.Head {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	heads := h.bus.Heads(ctx, groups)
	for i := range heads {
		if heads[i].Err != nil {
			h.noteFailure(heads[i].Err)
			break
		}
	}
	return heads
}
