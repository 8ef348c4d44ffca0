package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstPassesThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewRateLimiter(100)
		start := time.Now()
		var passed, refused, last atomic.Int64
		for range 1000 {
			go func() {
				again, err := g.Wait(t.Context())
				switch {
				case err != nil:
					t.Errorf("Wait: %v", err)
				case again == 0:
					passed.Add(1)
					last.Store(int64(time.Since(start)))
				case again <= maxWait:
					t.Errorf("told to come again in %v, although that could be waited for", again)
				default:
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := passed.Load(); n != 50 {
			t.Errorf("%d passed at once, want 50", n)
		}
		if n := refused.Load(); n != 850 {
			t.Errorf("%d were sent away at once, want 850: more than a second's worth would wait", n)
		}
		time.Sleep(2 * time.Second)
		if n := passed.Load(); n != 150 {
			t.Errorf("%d passed, want 150", n)
		}
		if d := time.Duration(last.Load()); d != time.Second {
			t.Errorf("the last waited %v, want 1 s", d)
		}
	})
}

func TestACancelledWaitGivesItsTokenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewRateLimiter(2) // one at once, then one each 0.5 s
		if again, err := g.Wait(t.Context()); again != 0 || err != nil {
			t.Fatalf("first: %v, %v", again, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Wait(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		start := time.Now()
		if again, err := g.Wait(t.Context()); again != 0 || err != nil {
			t.Fatalf("next: %v, %v", again, err)
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("the next waited %v, want 0.5 s", took)
		}
	})
}

func TestNoRateIsNoLimit(t *testing.T) {
	g := NewRateLimiter(0)
	for range 10_000 {
		if again, err := g.Wait(t.Context()); again != 0 || err != nil {
			t.Fatalf("got %v, %v", again, err)
		}
	}
}

func TestACrowdThatIsSentAwayLeavesNoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewRateLimiter(0.5) // one at once, then one each 2 s: nobody waits so long
		if again, err := g.Wait(t.Context()); again != 0 || err != nil {
			t.Fatalf("first: %v, %v", again, err)
		}
		crowd(func() { _, _ = g.Wait(t.Context()) })
		time.Sleep(2 * time.Second)
		if again, err := g.Wait(t.Context()); again != 0 || err != nil {
			t.Errorf("2 s after a crowd: come again in %v (%v), want now", again, err)
		}
	})
}

// crowd calls ask from several goroutines at once, some 10,000 times each.
func crowd(ask func()) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10_000 {
				ask()
			}
		})
	}
	all.Wait()
}
