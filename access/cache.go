package access

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cacheSize is how many tokens each of the two generations of a cache holds.
const cacheSize = 8192

// cache remembers tokens that were verified, by their SHA-256, so that a backend's
// token is not verified for each of its requests. It keeps between 8192 and twice
// as many, the most recent ones.
type cache struct {
	mu           sync.Mutex
	fresh, stale map[[sha256.Size]byte]*Identity
	// Counts the calls of clear.
	generation uint64
}

// get returns the identity of a token that is still good at that time; nil if it
// has to be verified. generation is to be given back to put.
func (c *cache) get(hash [sha256.Size]byte, now time.Time) (id *Identity, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.fresh[hash]
	if !ok {
		if id, ok = c.stale[hash]; ok {
			c.add(hash, id)
		}
	}
	if !ok || !now.Before(id.expires) {
		return nil, c.generation
	}
	return id, c.generation
}

// put remembers a token, unless the cache was cleared since get: it may have been
// verified with a key that is no longer one.
func (c *cache) put(hash [sha256.Size]byte, id *Identity, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation {
		c.add(hash, id)
	}
}

func (c *cache) add(hash [sha256.Size]byte, id *Identity) {
	if c.fresh == nil || len(c.fresh) >= cacheSize {
		c.stale, c.fresh = c.fresh, make(map[[sha256.Size]byte]*Identity)
	}
	c.fresh[hash] = id
}

// clear forgets all: keys or the policy have changed.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh, c.stale = nil, nil
	c.generation++
}
