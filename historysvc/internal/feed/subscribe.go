package feed

import (
	"context"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// change notes that g has got its first follower or lost its last one. The caller
// holds h.mu.
func (h *Hub) change(g group.Name) {
	h.changed[g] = struct{}{}
	select {
	case h.resubscribe <- struct{}{}:
	default:
	}
}

// keepSubscribed subscribes and unsubscribes groups that have changed. It is the
// only caller of the bus for this, so the calls for a group keep their order, and
// changes that come during a call travel together in the next one.
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

// takeChanges compares the subscriptions that are held with those that are wanted.
// kept are topics whose predecessor's subscription has not been ended and serves
// them as well.
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
