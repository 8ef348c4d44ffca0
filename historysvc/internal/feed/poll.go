package feed

import (
	"context"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// stragglers are live followers that were behind the head at the last poll, each
// with its position then.
type stragglers map[*Follower]stream.Position

// keepPolling finds followers that do not move although the head is elsewhere.
func (h *Hub) keepPolling(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var behind stragglers
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			behind = h.poll(ctx, behind)
		}
	}
}

// poll lets the followers catch up that are where they were at the last poll, and
// returns the stragglers of this one.
func (h *Hub) poll(ctx context.Context, before stragglers) stragglers {
	behind := make(stragglers)
	for topics := range slices.Chunk(h.allTopics(), headsPerCall) {
		groups := make([]group.Name, len(topics))
		for i, t := range topics {
			groups[i] = t.group
		}
		var failure error
		for i, head := range h.readHeads(ctx, groups) {
			if head.Err != nil { // the next poll comes soon
				failure = head.Err
				continue
			}
			topics[i].compare(head.Position, before, behind)
		}
		if failure != nil {
			h.noteFailure(failure)
		}
	}
	return behind
}

// compare compares the followers' positions with the head of the stream.
func (t *topic) compare(head stream.Position, before, behind stragglers) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		pos := f.pos
		if f.state != live || pos == head {
			continue
		}
		if then, ok := before[f]; ok && then == pos {
			f.catchUp(causeBehind)
		} else {
			behind[f] = pos
		}
	}
}
