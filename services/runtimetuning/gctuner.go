package runtimetuning

import (
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// minHeap is the size in bytes that a heap reaches before it is collected.
	minHeap     = 24 << 20
	defaultGOGC = 100

	// A burst is over when less than quietBytes were allocated in burstPeriod. Its
	// garbage is released if it allocated burstBytes or more.
	burstPeriod = 2 * time.Second
	quietBytes  = 1 << 20
	burstBytes  = 16 << 20
)

// gcTuner sets GOGC so that heaps grow to minHeap before they are collected,
// and returns the garbage of a burst to the system.
type gcTuner struct {
	log     *slog.Logger
	gogc    int
	periods int
	// Bytes allocated until the last burstPeriod, and until the last release.
	allocated, released uint64
	samples             []metrics.Sample
}

func newGCTuner(log *slog.Logger) *gcTuner {
	return &gcTuner{log: log, gogc: defaultGOGC, samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}}
}

func (t *gcTuner) tune() {
	metrics.Read(t.samples)
	value := func(i int) uint64 { return t.samples[i].Value.Uint64() }
	live, roots := value(0), value(1)+value(2)
	// Small changes are not worth stopping the world.
	gogc := gogcFor(live, roots)
	if gogc == defaultGOGC && t.gogc != defaultGOGC || gogc > t.gogc*5/4 || gogc < t.gogc*4/5 {
		debug.SetGCPercent(gogc)
		t.log.Debug("gogc changed", "gogc", gogc, "before", t.gogc, "live_bytes", live)
		t.gogc = gogc
	}
	if t.periods++; t.periods%int(burstPeriod/period) == 0 && t.burstIsOver(value(3)) {
		debug.FreeOSMemory()
	}
}

func (t *gcTuner) restore() { debug.SetGCPercent(defaultGOGC) }

// burstIsOver takes how many bytes the process has allocated so far.
func (t *gcTuner) burstIsOver(allocated uint64) bool {
	quiet := allocated-t.allocated < quietBytes
	t.allocated = allocated
	if !quiet || allocated-t.released < burstBytes {
		return false
	}
	t.released = allocated
	return true
}

// gogcFor returns the GOGC that lets a heap grow from live bytes to minHeap; the
// default if that lets it grow further. GOGC is a percentage of live and roots.
func gogcFor(live, roots uint64) int {
	base := max(live+roots, 1<<20)
	if live+base >= minHeap {
		return defaultGOGC
	}
	return int((minHeap - live) * 100 / base)
}
