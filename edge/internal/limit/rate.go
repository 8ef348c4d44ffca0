package limit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxWait bounds the wait for a RateLimiter: no more than a second's worth waits at
// one time.
const maxWait = time.Second

// RateLimiter spreads events out to a bounded rate. A nil RateLimiter has no bound.
type RateLimiter struct {
	limiter *rate.Limiter
	mu      sync.Mutex // for reserve
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
	reserved, wait := reserve(r.limiter, 1, maxWait)
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

// take takes n tokens, or returns when there will be as many. More than the burst
// counts as the burst. A nil limiter always has enough. It needs the caller's lock, as
// reserve does.
func take(l *rate.Limiter, n int) (again time.Duration) {
	if l == nil {
		return 0
	}
	_, again = reserve(l, min(n, l.Burst()), 0)
	return again
}

// reserve reserves n tokens and returns how long it is until they are there. If that
// is longer than patience, it reserves none. Only one goroutine may call it at a time:
// if another one took tokens between the two steps, the cancelled reservation would
// leave a debt, and a crowd that is refused would bar the key for hours.
func reserve(l *rate.Limiter, n int, patience time.Duration) (reserved *rate.Reservation, wait time.Duration) {
	reserved = l.ReserveN(time.Now(), n)
	if wait = reserved.Delay(); wait > patience {
		reserved.Cancel()
		return nil, wait
	}
	return reserved, wait
}

// newLimiter returns a limiter for that many events a second, of which those of two
// seconds may come at once. With 0 it returns nil.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}
