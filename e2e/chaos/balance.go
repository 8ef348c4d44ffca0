package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// balancedWithin is how long after the last fault a history service may have more
// streams than its share.
const balancedWithin = time.Minute

// balanced waits until no history service has more than its share of the streams of
// edges. Promised is one more: with three edges, that would be all of them.
func (b *bed) balanced(ctx context.Context) error {
	if len(b.services) == 0 {
		return nil
	}
	most := (len(b.edges) + len(b.services) - 1) / len(b.services)
	return within(ctx, balancedWithin, func() error {
		for _, u := range b.services {
			samples, err := testbed.Metrics(ctx, u.ops)
			if err != nil {
				return err
			}
			if n := int(samples["gotapi_history_relay_streams"]); n > most {
				return fmt.Errorf("%s has the streams of %d edges, want at most %d", u.Name(), n, most)
			}
		}
		return nil
	})
}

// moves returns how often edges have moved to another history service.
func (b *bed) moves() (n int) {
	for _, u := range b.edges {
		n += strings.Count(u.Log(), "relay moved to a history service")
	}
	return n
}
