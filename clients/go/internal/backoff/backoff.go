// Package backoff says how long to wait before something is tried again.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// The usual bounds of a wait.
const (
	Shortest = 100 * time.Millisecond
	Longest  = 10 * time.Second
)

// Policy doubles the wait with every failure, from Min to Max; a zero field
// is its default.
type Policy struct{ Min, Max time.Duration }

// Delay returns the wait after that many failures in a row (1 is the first):
// somewhere in the upper half of the doubled wait, so that clients that lost the same
// server do not come back together, and not less than atLeast, which a server
// may have asked for.
func (p Policy) Delay(failures int, atLeast time.Duration) time.Duration {
	lowest, highest := p.Min, p.Max
	if lowest <= 0 {
		lowest = Shortest
	}
	if highest <= 0 {
		highest = Longest
	}
	d := lowest
	for range failures - 1 {
		if d >= highest {
			break
		}
		d *= 2
	}
	d = min(d, highest)
	d = d/2 + rand.N(d/2+1)
	return max(d, atLeast)
}

// Sleep waits, or returns the context's error when that ends first.
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
