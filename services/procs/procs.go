// Package procs lets a service run on as few processors as its load needs.
//
// Go spreads what is runnable over GOMAXPROCS threads. A server whose messages
// take microseconds, but arrive one by one, then pays more for waking threads
// and putting them to sleep again than for the messages. On one thread the same
// load takes a sixth to a quarter less CPU time, and no longer, as long as that
// thread has time to spare. So a Governor keeps GOMAXPROCS a step ahead of the
// CPU time that the process uses: it grows at once, and shrinks after seconds. And
// CalmWatcher has the runtime's own watching thread wake less often.
package procs

import (
	"context"
	"log/slog"
	"math"
	"os"
	"runtime"
	"time"
)

const (
	// period is the time between two looks at the CPU time. It bounds how long a
	// burst finds too few processors.
	period = 100 * time.Millisecond
	// The share of the processors that may be in use: above it, more are allowed;
	// fewer are allowed when that keeps the share below it, ...
	share = 0.45
	// ... for so many periods on end.
	patience = 10
)

// governor decides how many processors to use.
type governor struct {
	// What the machine, or the container, has; and what is allowed now.
	most, now int
	// Periods on end with processors to spare, and how many were needed at most.
	calm, needed int
}

// next takes the CPU time that was used in a period, in processors, and
// returns how many to use from now on.
func (g *governor) next(used float64) int {
	if used > share*float64(g.now) {
		g.calm, g.needed = 0, 0
		g.now = min(g.most, max(g.now+1, int(math.Ceil(used/share))))
		return g.now
	}
	g.needed = max(g.needed, 1, int(math.Ceil(used/share)))
	if g.needed >= g.now {
		g.calm, g.needed = 0, 0
		return g.now
	}
	if g.calm++; g.calm >= patience {
		g.now = g.needed
		g.calm, g.needed = 0, 0
	}
	return g.now
}

// Govern sets GOMAXPROCS until ctx ends. It does nothing when the environment
// sets GOMAXPROCS, when there is one processor, or where CPU time cannot be read.
func Govern(ctx context.Context, log *slog.Logger) error {
	most := runtime.GOMAXPROCS(0)
	last, err := cpuTime()
	if os.Getenv("GOMAXPROCS") != "" || most == 1 || err != nil {
		<-ctx.Done()
		return nil
	}
	defer runtime.SetDefaultGOMAXPROCS()
	g := governor{most: most, now: most}
	tick := time.NewTicker(period)
	defer tick.Stop()
	at := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		used, err := cpuTime()
		if err != nil {
			return nil // it worked before; what is allowed now is a good guess
		}
		now, before := time.Now(), g.now
		if n := g.next(float64(used-last) / float64(now.Sub(at))); n != before {
			// It stops the world for some tens of microseconds.
			runtime.GOMAXPROCS(n)
			log.DebugContext(ctx, "processors in use", "now", n, "before", before, "most", most)
		}
		last, at = used, now
	}
}
