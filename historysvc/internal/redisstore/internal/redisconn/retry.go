package redisconn

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// Backoff is the delay between retries after Redis failed.
var Backoff = backoff.Policy{Min: 10 * time.Millisecond, Max: 250 * time.Millisecond}

// tries of a call that fails, the first one included.
const tries = 3

// retry reports whether to try again after try n ended with outcome o. If so, it waits
// first.
func (o Outcome) retry(ctx context.Context, n int) bool {
	return n < tries && (o == NotDone || o == Unknown) && backoff.Sleep(ctx, Backoff.Delay(n)) == nil
}

// Retry runs f, again while it fails: it must bear to run twice. Its errors are
// those of the history package, and take a call without an answer for not done.
func Retry[T any](ctx context.Context, c *Conn, f func(context.Context) (T, error)) (T, error) {
	for n := 1; ; n++ {
		attempt, cancel := Bound(ctx, c.timeout)
		v, err := f(attempt)
		cancel()
		if !OutcomeOf(err).retry(ctx, n) {
			return v, ReadError(err)
		}
	}
}
