package heap

import (
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
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
		{5 << 20, 5 << 20, floor},
		{5 << 20, 20 << 20, 30 << 20},
		{5 << 20, 200 << 20, 210 << 20},
		{10 << 20, 0, floor},
		{20 << 20, 0, 40 << 20},
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
	stop := keep(t, "")
	until(t, "a small heap has a large percentage", func() bool { return gcPercent() > 2*normal })
	var sleepers sync.WaitGroup
	awake := make(chan struct{})
	for range 10_000 {
		sleepers.Go(func() { <-awake })
	}
	runtime.GC() // meets the stacks
	until(t, "the goal is near the floor, or what is normal for so many stacks", func() bool {
		live, base := newState().read(gcPercent())
		goal := live + base*uint64(gcPercent())/100
		return goal <= max(floor, live+base)*5/4
	})
	close(awake)
	sleepers.Wait()
	stop()
}

func TestPercentFollowsTheLiveHeap(t *testing.T) {
	stop := keep(t, "")
	until(t, "a small heap has a large percentage", func() bool { return gcPercent() > 2*normal })
	func() {
		ballast := make([]byte, floor)
		until(t, "a large heap has the normal one", func() bool { return gcPercent() == normal })
		runtime.KeepAlive(ballast)
	}()
	until(t, "a heap that has shrunk has a large one", func() bool { return gcPercent() > 2*normal })
	stop()
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
	stop := keep(t, "150")
	for range 3 {
		runtime.GC()
	}
	stop()
	if got := gcPercent(); got != 150 {
		t.Errorf("%d percent, want the 150 of the environment", got)
	}
}

// keep starts Keep in an environment with this GOGC; "" is none. What it returns
// stops it and waits.
func keep(t *testing.T, gogc string) (stop func()) {
	t.Helper()
	t.Setenv("GOGC", gogc)
	of, err := strconv.Atoi(cmp.Or(gogc, strconv.Itoa(normal)))
	if err != nil {
		t.Fatal(err)
	}
	before := debug.SetGCPercent(of)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Keep(ctx, slog.New(slog.DiscardHandler)) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Keep: %v", err)
		}
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
