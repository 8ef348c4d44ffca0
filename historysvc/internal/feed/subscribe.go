package feed

import (
	"context"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// change notes that g got its first follower or lost its last one. The caller
// holds h.mu.
func (h *Hub) change(g group.Name) {
	h.changed[g] = struct{}{}
	select {
	case h.resubscribe <- struct{}{}:
	default:
	}
}

// keepSubscribed subscribes and unsubscribes what has changed. It alone talks
// to the bus about that, so that the calls for a group keep their order, and
// changes that come while it does travel together in the next call.
func (h *Hub) keepSubscribed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.resubscribe:
		}
		gained, lost, kept := h.takeChanges()
		if len(lost) > 0 {
			h.bus.Unsubscribe(lost...)
		}
		if len(gained) > 0 {
			h.bus.Subscribe(gained...)
		}
		for _, t := range kept {
			t.subscribed()
		}
	}
}

// takeChanges compares what is held with what is wanted. kept are topics that
// were made anew before the subscription of their predecessor was ended, and
// that it serves as well.
func (h *Hub) takeChanges() (gained, lost []group.Name, kept []*topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for g := range h.changed {
		t := h.topics[g]
		confirmed, held := h.held[g]
		switch {
		case t != nil && !held:
			h.held[g] = false
			gained = append(gained, g)
		case t == nil && held:
			delete(h.held, g)
			lost = append(lost, g)
		case t != nil && confirmed:
			kept = append(kept, t)
		}
	}
	clear(h.changed)
	h.metrics.subscriptions.Set(float64(len(h.held)))
	return gained, lost, kept
}
