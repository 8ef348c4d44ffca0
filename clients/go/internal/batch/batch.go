// Package batch repeats what a server has refused of a batch.
package batch

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// Sender sends a part of a batch.
type Sender struct {
	// Send sends the items with these numbers in one request, and returns the error of each,
	// nil if it was published.
	Send func(ctx context.Context, items []int) []error
	// MayRetry reports whether an item may be sent again after that error.
	MayRetry func(item int, err error) bool
	// Delay returns how long to wait after so many failures in a row.
	Delay func(failures int, err error) time.Duration
}

// Run sends n items until each is published or refused for good, or ctx ends. It returns
// the last error of each. What is sent again keeps its order.
func (s *Sender) Run(ctx context.Context, n int) []error {
	errs := make([]error, n)
	items := make([]int, n)
	for i := range items {
		items[i] = i
	}
	for failures := 1; len(items) > 0; failures++ {
		var again []int
		var delay time.Duration
		for k, err := range s.Send(ctx, items) {
			i := items[k]
			errs[i] = err
			if err != nil && s.MayRetry(i, err) {
				again = append(again, i)
				delay = max(delay, s.Delay(failures, err))
			}
		}
		if items = again; len(items) > 0 && (ctx.Err() != nil || backoff.Sleep(ctx, delay) != nil) {
			break // the errors say more than that the time is over
		}
	}
	return errs
}
