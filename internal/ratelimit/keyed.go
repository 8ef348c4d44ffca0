package ratelimit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gotapi/gotapi-ws/internal/recent"
)

// maxKeys bounds the keys whose rates are known. The bucket of one that is forgotten was
// full again, unless so many others came meanwhile.
const maxKeys = 100_000

// Keyed has a token bucket for each key. It is safe for concurrent use.
type Keyed struct {
	mu      sync.Mutex
	buckets recent.Map[string, *rate.Limiter]
}

// NewKeyed returns a Keyed without keys.
func NewKeyed() *Keyed { return &Keyed{buckets: recent.New[string, *rate.Limiter](maxKeys)} }

// Take takes a token of key, which has that many a second, of which those of two seconds
// may come at once; 0: no bound. If there is none, it returns when to come again. A key
// whose rate is another one than before begins again.
func (k *Keyed) Take(key string, perSecond float64) (again time.Duration) {
	if perSecond == 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket, ok := k.buckets.Get(key)
	if !ok || bucket.Limit() != rate.Limit(perSecond) {
		bucket = New(perSecond)
		k.buckets.Remove(key)
		k.buckets.Add(key, bucket)
	}
	return Take(bucket, 1)
}

// Len returns how many keys are known.
func (k *Keyed) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buckets.Len()
}
