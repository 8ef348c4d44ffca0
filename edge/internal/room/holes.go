package room

import "sync"

// holes are the rooms that lack a message which is known to be stored. No later event
// may show it. A room has a second or two to pass the message on.
type holes struct {
	mu sync.Mutex
	// Since the last call of take, and since the one before.
	noted, overdue map[*Room]place
}

func (h *holes) note(r *Room, at place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noted == nil {
		h.noted = make(map[*Room]place)
	}
	h.noted[r] = at
}

// take returns what was noted before the last call.
func (h *holes) take() (overdue map[*Room]place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	overdue, h.overdue, h.noted = h.overdue, h.noted, nil
	return overdue
}
