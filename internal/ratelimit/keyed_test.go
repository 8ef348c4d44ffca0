package ratelimit

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheKeySeenLongestAgoIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := NewKeyed()
		limiter.Take("first", 1)
		limiter.Take("first", 1)
		for i := range maxKeys - 1 {
			limiter.Take(fmt.Sprint(i), 1)
		}
		if limiter.Take("first", 1) == 0 {
			t.Error("forgotten although there was room")
		}
		limiter.Take("one more", 1)
		if limiter.Len() != maxKeys {
			t.Errorf("%d keys, want %d", limiter.Len(), maxKeys)
		}
		if limiter.Take("first", 1) == 0 {
			t.Error("who was just seen is forgotten")
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

func TestACrowdThatIsRefusedLeavesNoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := NewKeyed()
		crowd(func() { limiter.Take("a", 10) })
		time.Sleep(100 * time.Millisecond)
		if again := limiter.Take("a", 10); again > 0 {
			t.Errorf("at 10 a second, 0.1 s after a crowd: come again in %v, want now", again)
		}
	})
}

func TestAKeyWithAnotherRateBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := NewKeyed()
		limiter.Take("a", 0.5)
		if limiter.Take("a", 0.5) != 2*time.Second {
			t.Error("the second one of a bucket of one passes")
		}
		if limiter.Take("a", 0) != 0 || limiter.Take("a", 1) != 0 || limiter.Take("a", 1) != 0 {
			t.Error("a new rate does not hold at once")
		}
		if limiter.Take("a", 1) != time.Second || limiter.Len() != 1 {
			t.Error("a new rate has no bound")
		}
	})
}
