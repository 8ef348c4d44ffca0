package limit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gotapi/gotapi-ws/internal/ratelimit"
)

// maxWait bounds the wait for a RateLimiter: no more than a second's worth waits at
// one time.
const maxWait = time.Second

// RateLimiter spreads events out to a bounded rate. A nil RateLimiter has no bound.
type RateLimiter struct {
	limiter *rate.Limiter
	mu      sync.Mutex // for Reserve
}

// NewRateLimiter returns a RateLimiter for that many events a second, of which those
// of half a second may come at once. With 0 it returns nil.
func NewRateLimiter(perSecond float64) *RateLimiter {
	if perSecond == 0 {
		return nil
	}
	return &RateLimiter{limiter: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/2)))}
}

// Wait waits until the caller's event may happen. If that would take too long, it
// returns at once, with the time after which to come again. It returns ctx's error if
// ctx ends first.
func (r *RateLimiter) Wait(ctx context.Context) (again time.Duration, err error) {
	if r == nil {
		return 0, nil
	}
	r.mu.Lock()
	reserved, wait := ratelimit.Reserve(r.limiter, 1, maxWait)
	r.mu.Unlock()
	switch {
	case wait == 0:
		return 0, nil
	case reserved == nil:
		return wait, nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return 0, nil
	case <-ctx.Done():
		reserved.Cancel()
		return 0, ctx.Err()
	}
}
