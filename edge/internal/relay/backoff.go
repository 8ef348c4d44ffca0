package relay

import (
	"context"
	"math/rand/v2"
	"time"

	grpcbackoff "google.golang.org/grpc/backoff"
)

// connectBackoff spaces out the attempts to connect to one history service. Its
// maximum is low: the services are few and near.
var connectBackoff = grpcbackoff.Config{
	BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second,
}

// Pauses between attempts to open a stream.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
	// A stream that lived this long was none of a series of failures. Waiting
	// for a connection counts: that was a pause.
	steady = time.Second
)

// backoff spaces out attempts: the first comes at once, then pauses double,
// each drawn from its upper half so that edges do not come back in step.
type backoff struct{ attempts int }

func (b *backoff) reset() { b.attempts = 0 }

func (b *backoff) next() time.Duration {
	b.attempts++
	if b.attempts == 1 {
		return 0
	}
	pause := maxPause
	if shift := b.attempts - 2; shift < 10 {
		pause = min(firstPause<<shift, maxPause)
	}
	return pause/2 + rand.N(pause/2)
}

// sleep waits; it returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
