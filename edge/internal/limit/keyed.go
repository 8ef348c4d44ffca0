package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the keys whose rates are known. The bucket of one that is forgotten was
// full again, unless so many others came meanwhile.
const maxKeys = 100_000

// keyedLimiter has a token bucket for each key. A nil keyedLimiter has no bound.
type keyedLimiter struct {
	perSecond float64

	mu      sync.Mutex
	buckets recent[string, *rate.Limiter]
}

// newKeyedLimiter returns a keyedLimiter of that many a second for each key, of which
// those of two seconds may come at once. With 0 it returns nil.
func newKeyedLimiter(perSecond float64) *keyedLimiter {
	if perSecond == 0 {
		return nil
	}
	return &keyedLimiter{perSecond: perSecond, buckets: newRecent[string, *rate.Limiter](maxKeys)}
}

// take takes a token of key. If there is none, it returns when to come again.
func (k *keyedLimiter) take(key string) (again time.Duration) {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket, ok := k.buckets.get(key)
	if !ok {
		bucket = newLimiter(k.perSecond)
		k.buckets.add(key, bucket)
	}
	return take(bucket, 1)
}

// len returns how many keys are known.
func (k *keyedLimiter) len() int {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buckets.len()
}

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
