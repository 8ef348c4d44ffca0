package limit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxWait is how long one may wait at a Gate: so no more than a second's worth
// wait at one time.
const maxWait = time.Second

// Gate lets through what comes at a bounded rate. Who comes faster waits for a
// moment, or is sent away at once. A nil Gate lets everything through.
type Gate struct {
	limiter *rate.Limiter
	mu      sync.Mutex // for reserve
}

// NewGate returns a Gate for that many a second, of which those of half a second
// may come at once. With 0 it returns nil.
func NewGate(perSecond float64) *Gate {
	if perSecond == 0 {
		return nil
	}
	return &Gate{limiter: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/2)))}
}

// Pass waits until it is the caller's turn. If that takes too long, it returns
// at once, and says when to come again. It returns ctx's error if that ends first.
func (g *Gate) Pass(ctx context.Context) (again time.Duration, err error) {
	if g == nil {
		return 0, nil
	}
	g.mu.Lock()
	turn, wait := reserve(g.limiter, 1, maxWait)
	g.mu.Unlock()
	switch {
	case wait == 0:
		return 0, nil
	case turn == nil:
		return wait, nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return 0, nil
	case <-ctx.Done():
		turn.Cancel()
		return 0, ctx.Err()
	}
}
