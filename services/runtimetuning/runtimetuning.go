// Package runtimetuning adapts the Go runtime to a server whose messages take
// microseconds but arrive one by one. docs/runtime-tuning.md explains each part
// and has the measurements.
package runtimetuning

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// period is the time between two measurements. It bounds how long a burst of
// work runs on too few processors.
const period = 100 * time.Millisecond

// Run lets GOMAXPROCS follow the load (on Linux), and spares small heaps most of
// their collections, until ctx ends. It leaves alone what GOMAXPROCS or GOGC in
// the environment sets.
func Run(ctx context.Context, log *slog.Logger) error {
	tuneProcs, tuneGC := func() {}, func() {}
	if os.Getenv("GOMAXPROCS") == "" {
		t := newProcsTuner(log)
		tuneProcs = t.tune
		defer t.restore()
	}
	if os.Getenv("GOGC") == "" {
		t := newGCTuner(log)
		tuneGC = t.tune
		defer t.restore()
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			tuneProcs()
			tuneGC()
		}
	}
}
