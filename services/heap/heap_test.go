package heap

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

func TestSmallHeapsGrowToTheFloorAndLargeOnesToTheirDouble(t *testing.T) {
	for _, tt := range []struct {
		live, roots uint64
		want        uint64 // what the heap grows to
	}{
		{1 << 20, 0, floor},
		{5 << 20, 0, floor},
		{5 << 20, 20 << 20, floor},
		{5 << 20, 200 << 20, 210 << 20},
		{20 << 20, 0, floor},
		{24 << 20, 0, 48 << 20},
		{100 << 20, 10 << 20, 210 << 20},
	} {
		base := tt.live + tt.roots
		grown := tt.live + base*uint64(percent(tt.live, base))/100
		if grown > tt.want || grown < tt.want*98/100 {
			t.Errorf("live %d, roots %d: grows to %d, want %d", tt.live, tt.roots, grown, tt.want)
		}
	}
	if p := percent(0, 0); p <= 0 {
		t.Errorf("nothing is alive: %d percent", p)
	}
}

// Ten thousand goroutines are as many stacks, of which a large percentage would
// be a large heap.
func TestStacksDoNotMakeTheHeapGrowBeyondTheFloor(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(normal)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, slog.New(slog.DiscardHandler)) }()
	var sleepers sync.WaitGroup
	for range 10_000 {
		sleepers.Go(func() { <-ctx.Done() })
	}
	until(t, "the goal is near the floor, or what is normal for so many stacks", func() bool {
		live, base := newState().read(gcPercent())
		goal := live + base*uint64(gcPercent())/100
		return goal <= max(floor, live+base)*5/4
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	sleepers.Wait()
}

func TestPercentFollowsTheLiveHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(normal)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, slog.New(slog.DiscardHandler)) }()

	until(t, "a small heap has a large percentage", func() bool { return gcPercent() > 2*normal })
	func() {
		ballast := make([]byte, floor)
		until(t, "a large heap has the normal one", func() bool { return gcPercent() == normal })
		runtime.KeepAlive(ballast)
	}()
	until(t, "a heap that has shrunk has a large one", func() bool { return gcPercent() > 2*normal })

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := gcPercent(); got != normal {
		t.Errorf("%d percent after the end, want %d", got, normal)
	}
}

func TestMemoryIsGivenBackOnceWhenABurstIsOver(t *testing.T) {
	var bursts tide
	for i, step := range []struct {
		allocated uint64
		want      bool
	}{
		{10 << 20, false},      // it begins
		{40 << 20, false},      // it goes on
		{40<<20 + 1000, true},  // over
		{40<<20 + 2000, false}, // once
		{50 << 20, false},      // another one
		{50<<20 + 1000, false}, // which was too small
		{57 << 20, false},      // together with this
		{57<<20 + calm - 1, true},
		{57<<20 + 2*calm, false},
	} {
		if got := bursts.out(step.allocated); got != step.want {
			t.Errorf("step %d, %d bytes: got %v, want %v", i, step.allocated, got, step.want)
		}
	}
}

func TestTheEnvironmentHasTheLastWord(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := debug.SetGCPercent(150)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, slog.New(slog.DiscardHandler)) }()
	for range 3 {
		runtime.GC()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := gcPercent(); got != 150 {
		t.Errorf("%d percent, want the 150 of the environment", got)
	}
}

// gcPercent is GOGC as it is now.
func gcPercent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

// until collects garbage until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for giveUp := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(giveUp) {
			t.Fatalf("waited in vain: %s", what)
		}
		runtime.GC()
	}
}
