package runtimetuning

import (
	"log/slog"
	"math"
	"runtime"
	"time"
)

const (
	// maxLoad is the share of the processors in use that may be busy.
	maxLoad = 0.45
	// decay is what remains of a peak of load after one period: half after 0.7 s.
	decay = 0.9
)

// procsTuner keeps GOMAXPROCS a step ahead of the CPU time that the process uses.
type procsTuner struct {
	log            *slog.Logger
	limit, current int
	// The most processors that were busy in a recent period.
	peak float64
	// When CPU time was last measured, and how much it was.
	at   time.Time
	used time.Duration
}

func newProcsTuner(log *slog.Logger) *procsTuner {
	limit := runtime.GOMAXPROCS(0)
	used, _ := cpuTime() // if it cannot be read, tune does nothing
	return &procsTuner{log: log, limit: limit, current: limit, at: time.Now(), used: used}
}

func (t *procsTuner) tune() {
	used, err := cpuTime()
	if err != nil {
		return
	}
	now := time.Now()
	n := t.next(float64(used-t.used) / float64(now.Sub(t.at)))
	t.at, t.used = now, used
	if n != t.current {
		runtime.GOMAXPROCS(n)
		t.log.Debug("gomaxprocs changed", "procs", n, "before", t.current, "limit", t.limit)
		t.current = n
	}
}

// next takes how many processors were busy in the last period, on average, and
// returns how many to use from now on: it grows at once and shrinks slowly.
func (t *procsTuner) next(busy float64) int {
	t.peak = max(busy, t.peak*decay)
	return min(max(1, int(math.Ceil(t.peak/maxLoad))), t.limit)
}

func (t *procsTuner) restore() { runtime.SetDefaultGOMAXPROCS() }
