// Package heap keeps the garbage collector from running all the time in a
// process that has little to keep.
//
// Go collects when the heap has doubled. A server whose live heap is 4 MB, but
// which makes garbage for each request, then collects every few megabytes, dozens
// of times in a second, for a few megabytes saved. So Keep lets every heap grow
// to a floor before it is collected; heaps whose double is above the floor are
// collected as ever. And when a burst is over, what it left behind goes back to
// the system, instead of staying until the next one.
package heap

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// floor is the size, bytes, up to which a heap grows before it is collected.
	floor = 24 << 20
	// The collector's own default, percent of the live heap.
	normal = 100

	// How often Keep looks whether a burst is over: it is when less than calm was
	// allocated in a period, and more than burst since memory was last given back, bytes.
	period = 2 * time.Second
	calm   = 1 << 20
	burst  = 16 << 20
)

// tide tells when a burst is over.
type tide struct {
	// Bytes that the process had allocated at the last look, and when memory was
	// last given back.
	last, ebb uint64
}

// out takes how many bytes the process has allocated so far. It is true when
// memory should be given back.
func (t *tide) out(allocated uint64) bool {
	quiet := allocated-t.last < calm
	t.last = allocated
	if !quiet || allocated-t.ebb < burst {
		return false
	}
	t.ebb = allocated
	return true
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// percent is what GOGC has to be for a heap of so many live bytes to grow to the
// floor; normal if it grows beyond that anyway. base is what GOGC is a
// percentage of: the live heap, stacks and globals.
func percent(live, base uint64) int {
	base = max(base, live, 1<<20)
	if live+base >= floor {
		return normal
	}
	return int((floor - live) * 100 / base)
}

// state is what the last collection has found.
type state [2]metrics.Sample

func newState() *state {
	return &state{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/goal:bytes"}}
}

// read returns the live heap and the base, under a GOGC of percent.
func (s *state) read(percent int) (live, base uint64) {
	metrics.Read(s[:])
	live, goal := s[0].Value.Uint64(), s[1].Value.Uint64()
	return live, (max(goal, live) - live) * 100 / uint64(percent)
}

// Keep adapts GOGC after each collection, and gives memory back after bursts,
// until ctx ends. It does nothing when the environment sets GOGC. A memory limit
// (GOMEMLIMIT) holds as ever.
func Keep(ctx context.Context, log *slog.Logger) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(normal))
	collected := make(chan struct{}, 1)
	watch(ctx, collected)
	tick := time.NewTicker(period)
	defer tick.Stop()
	var bursts tide
	found, now := newState(), normal
	for {
		live, base := found.read(now)
		// A change stops the world: small ones are not worth it.
		if p := percent(live, base); p == normal && now != normal || p > now*5/4 || p < now*4/5 {
			debug.SetGCPercent(p)
			log.DebugContext(ctx, "garbage collection", "gogc", p, "live_bytes", live)
			now = p
		}
		select {
		case <-ctx.Done():
			return nil
		case <-collected:
		case <-tick.C:
			if bursts.out(allocated()) {
				debug.FreeOSMemory() // collects first
			}
		}
	}
}

// watch sends to collected after each collection, until ctx ends: a sentinel
// that nobody holds is found dead by each, and succeeded by the next.
func watch(ctx context.Context, collected chan<- struct{}) {
	sentinel := new([16]byte)
	runtime.AddCleanup(sentinel, func(ctx context.Context) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		watch(ctx, collected)
	}, ctx)
}
