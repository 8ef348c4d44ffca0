// Package backoff spaces out what is tried again after failures.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Defaults of Min and Max in a Policy.
const (
	Shortest = 100 * time.Millisecond
	Longest  = 10 * time.Second
)

// Policy doubles the delay with every failure in a row, from Min to Max. Fields that
// are not above zero have their default.
type Policy struct{ Min, Max time.Duration }

// Delay returns how long to wait after a number of failures in a row; zero after
// none. It is drawn from the upper half of the doubled delay, so that clients of the
// same server do not come back together.
func (p Policy) Delay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	lowest, highest := p.Min, p.Max
	if lowest <= 0 {
		lowest = Shortest
	}
	if highest <= 0 {
		highest = Longest
	}
	d := lowest
	for i := 1; i < failures && d < highest; i++ {
		d *= 2
	}
	d = min(d, highest)
	return d - rand.N(d/2+1)
}

// Sleep waits for d. If ctx ends first, it returns the error of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
