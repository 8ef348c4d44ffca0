// Package backoff spaces out what is tried again after failures, and what makes others try
// again.
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

// Spread calls do for each of all, in random order and evenly over a time, so that those
// that come back do not come all at once. When ctx ends, the rest follows at once. It
// reorders all.
func Spread[T any](ctx context.Context, over time.Duration, all []T, do func(T)) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	start := time.Now()
	for i, one := range all {
		due := start.Add(over * time.Duration(i) / time.Duration(len(all)))
		if early := time.Until(due); early > 0 {
			_ = Sleep(ctx, early) // an error means that ctx has ended
		}
		do(one)
	}
}
