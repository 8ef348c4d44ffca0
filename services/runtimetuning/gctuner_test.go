package runtimetuning

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
	"testing/synctest"
	"time"
)

func TestSmallHeapsGrowToMinHeapAndLargeOnesToTheirDouble(t *testing.T) {
	for _, tt := range []struct {
		live, roots uint64
		want        uint64 // what the heap grows to
	}{
		{1 << 20, 0, minHeap},
		{5 << 20, 0, minHeap},
		{5 << 20, 5 << 20, minHeap},
		{5 << 20, 15 << 20, 30<<20 - 5<<20},
		{5 << 20, 195 << 20, 205 << 20},
		{10 << 20, 0, minHeap},
		{20 << 20, 0, 40 << 20},
		{24 << 20, 0, 48 << 20},
		{100 << 20, 10 << 20, 210 << 20},
	} {
		base := tt.live + tt.roots
		grown := tt.live + base*uint64(gogcFor(tt.live, tt.roots))/100
		if grown > tt.want || grown < tt.want*98/100 {
			t.Errorf("live %d, roots %d: grows to %d, want %d", tt.live, tt.roots, grown, tt.want)
		}
	}
	if gogc := gogcFor(0, 0); gogc <= 0 {
		t.Errorf("nothing is alive: GOGC %d", gogc)
	}
}

func TestGOGCFollowsTheLiveHeap(t *testing.T) {
	tuned(t, "", func() {
		settle()
		if gogc := metric("/gc/gogc:percent"); gogc <= 2*defaultGOGC {
			t.Errorf("a small heap has GOGC %d, want more than %d", gogc, 2*defaultGOGC)
		}
		ballast := make([]byte, minHeap)
		settle()
		if gogc := metric("/gc/gogc:percent"); gogc != defaultGOGC {
			t.Errorf("a large heap has GOGC %d, want %d", gogc, defaultGOGC)
		}
		runtime.KeepAlive(ballast)
		settle()
		if gogc := metric("/gc/gogc:percent"); gogc <= 2*defaultGOGC {
			t.Errorf("a heap that shrank has GOGC %d, want more than %d", gogc, 2*defaultGOGC)
		}
	})
	if gogc := metric("/gc/gogc:percent"); gogc != defaultGOGC {
		t.Errorf("GOGC %d after the end, want %d", gogc, defaultGOGC)
	}
}

// Ten thousand goroutines have as many stacks; a large percentage of them would
// be a large heap.
func TestStacksDoNotMakeTheHeapGrowBeyondMinHeap(t *testing.T) {
	tuned(t, "", func() {
		settle()
		var sleepers sync.WaitGroup
		awake := make(chan struct{})
		for range 10_000 {
			sleepers.Go(func() { <-awake })
		}
		settle()
		live, goal := metric("/gc/heap/live:bytes"), metric("/gc/heap/goal:bytes")
		usual := 2*live + metric("/gc/scan/stack:bytes") + metric("/gc/scan/globals:bytes")
		if want := max(minHeap, usual) * 5 / 4; goal > want {
			t.Errorf("a heap of %d bytes grows to %d, want at most %d", live, goal, want)
		}
		close(awake)
		sleepers.Wait()
	})
}

func TestMemoryIsReleasedOnceWhenABurstIsOver(t *testing.T) {
	tuned(t, "", func() {
		time.Sleep(3 * burstPeriod) // releases what the tests before left
		for _, tt := range []struct {
			allocate, want uint64
		}{
			{2 * burstBytes, 1},
			{burstBytes / 2, 0},
			{burstBytes / 2, 1}, // enough together with the last
			{0, 0},
		} {
			before := metric("/gc/cycles/forced:gc-cycles")
			runtime.KeepAlive(make([]byte, tt.allocate))
			time.Sleep(5 * burstPeriod)
			if got := metric("/gc/cycles/forced:gc-cycles") - before; got != tt.want {
				t.Errorf("after %d bytes: released %d times, want %d", tt.allocate, got, tt.want)
			}
		}
	})
}

func TestNothingIsReleasedWhileABurstLasts(t *testing.T) {
	tuned(t, "", func() {
		time.Sleep(3 * burstPeriod)
		before := metric("/gc/cycles/forced:gc-cycles")
		for range 5 * burstPeriod / period {
			runtime.KeepAlive(make([]byte, burstBytes/16))
			time.Sleep(period)
		}
		if got := metric("/gc/cycles/forced:gc-cycles") - before; got != 0 {
			t.Errorf("released %d times, want 0", got)
		}
	})
}

func TestGOGCInTheEnvironmentIsKept(t *testing.T) {
	tuned(t, "150", func() { settle() })
	if gogc := metric("/gc/gogc:percent"); gogc != 150 {
		t.Errorf("got GOGC %d, want the 150 of the environment", gogc)
	}
}

// tuned calls f in a synctest bubble while Run runs with this GOGC in the
// environment; "" is none.
func tuned(t *testing.T, gogc string, f func()) {
	t.Helper()
	t.Setenv("GOGC", gogc)
	t.Setenv("GOMAXPROCS", strconv.Itoa(runtime.GOMAXPROCS(0)))
	percent, err := strconv.Atoi(cmp.Or(gogc, strconv.Itoa(defaultGOGC)))
	if err != nil {
		t.Fatal(err)
	}
	before := debug.SetGCPercent(percent)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	synctest.Test(t, func(t *testing.T) {
		stop := run(t)
		f()
		stop()
	})
}

// run starts Run. The function it returns stops it and waits.
func run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, slog.New(slog.DiscardHandler)) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// settle collects garbage and lets Run see what is left.
func settle() {
	runtime.GC()
	time.Sleep(2 * period)
}

func metric(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
