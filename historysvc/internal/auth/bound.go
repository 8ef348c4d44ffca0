package auth

import "sync"

// bound counts things by their owner, and bounds them in total and of one owner. It
// is safe for concurrent use.
type bound struct {
	total, perOwner int

	mu    sync.Mutex
	count int
	of    map[string]int
}

func newBound(total, perOwner int) *bound {
	return &bound{total: total, perOwner: perOwner, of: make(map[string]int)}
}

// add reports whether there is room for one more, which is then counted.
func (b *bound) add(owner string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= b.total || b.of[owner] >= b.perOwner {
		return false
	}
	b.count++
	b.of[owner]++
	return true
}

func (b *bound) remove(owner string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count--
	if b.of[owner]--; b.of[owner] == 0 {
		delete(b.of, owner)
	}
}
