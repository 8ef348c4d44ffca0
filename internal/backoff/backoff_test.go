package backoff_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

func TestDelayDoublesUpToItsBound(t *testing.T) {
	p := backoff.Policy{Min: 100 * time.Millisecond, Max: time.Second}
	for failures, full := range map[int]time.Duration{
		0: 0, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second,
	} {
		for range 100 {
			if d := p.Delay(failures); d < full/2 || d > full {
				t.Fatalf("after %d failures: %v, want from %v to %v", failures, d, full/2, full)
			}
		}
	}
}

func TestBoundsThatAreNotSetHaveTheirDefault(t *testing.T) {
	for _, p := range []backoff.Policy{{}, {Min: -1, Max: -1}} {
		if d := p.Delay(1); d < backoff.Shortest/2 || d > backoff.Shortest {
			t.Errorf("%+v: %v after one failure, want about %v", p, d, backoff.Shortest)
		}
		if d := p.Delay(100); d < backoff.Longest/2 || d > backoff.Longest {
			t.Errorf("%+v: %v after 100 failures, want about %v", p, d, backoff.Longest)
		}
	}
}

func TestDelaysAreSpread(t *testing.T) {
	p := backoff.Policy{Min: time.Minute, Max: time.Minute}
	delays := make(map[time.Duration]bool)
	for range 100 {
		delays[p.Delay(1)] = true
	}
	if len(delays) < 50 {
		t.Errorf("100 delays have %d values, want most of them to differ", len(delays))
	}
}

func TestSleepEndsWithTheTimeOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := backoff.Sleep(ctx, 40*time.Second); err != nil || time.Since(began) != 40*time.Second {
			t.Errorf("slept %v, %v, want 40s", time.Since(began), err)
		}
		if err := backoff.Sleep(ctx, 40*time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("slept until %v, %v, want until the deadline after 1m", time.Since(began), err)
		}
	})
}

func TestSpreadIsEvenUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		seen := make(map[int]bool)
		backoff.Spread(ctx, 10*time.Second, []int{1, 2, 3, 4, 5}, func(n int) {
			seen[n] = true
			if at = append(at, time.Since(start)); len(at) == 3 {
				cancel()
			}
		})
		want := []time.Duration{0, 2 * time.Second, 4 * time.Second, 4 * time.Second, 4 * time.Second}
		if !slices.Equal(at, want) || len(seen) != 5 {
			t.Errorf("%v at %v, want each once, at %v", seen, at, want)
		}
		backoff.Spread(ctx, time.Second, nil, func(int) { t.Error("called for nothing") })
	})
}
