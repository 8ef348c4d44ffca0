package backoff_test

import (
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/clients/go/internal/backoff"
)

func TestDelayDoublesUpToItsBound(t *testing.T) {
	p := backoff.Policy{Min: 100 * time.Millisecond, Max: time.Second}
	for failures, full := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second,
	} {
		for range 100 {
			if d := p.Delay(failures, 0); d < full/2 || d > full {
				t.Fatalf("after %d failures: %v, want from %v to %v", failures, d, full/2, full)
			}
		}
	}
}

func TestDelayIsAtLeastWhatTheServerAsksFor(t *testing.T) {
	if d := (backoff.Policy{}).Delay(1, time.Minute); d != time.Minute {
		t.Errorf("delay %v, want 1m", d)
	}
}
