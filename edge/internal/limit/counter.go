package limit

import "sync"

// KeyedCounter bounds how many of each key there are at one time. The key "" is not
// bounded, and with the bound 0 none is.
type KeyedCounter struct {
	most int

	mu   sync.Mutex
	open map[string]int
}

// NewKeyedCounter returns a KeyedCounter of at most that many for each key.
func NewKeyedCounter(most int) *KeyedCounter {
	return &KeyedCounter{most: most, open: make(map[string]int)}
}

// IsBounded reports whether there is a bound, for which keys matter.
func (c *KeyedCounter) IsBounded() bool { return c.most > 0 }

// Add counts one more, and reports whether there may be as many.
func (c *KeyedCounter) Add(key string) bool {
	if !c.IsBounded() || key == "" {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key] >= c.most {
		return false
	}
	c.open[key]++
	return true
}

// Remove counts one less that was added.
func (c *KeyedCounter) Remove(key string) {
	if !c.IsBounded() || key == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key]--; c.open[key] == 0 {
		delete(c.open, key)
	}
}
