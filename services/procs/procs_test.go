package procs

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstGetsMoreProcessorsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		now  int
		used float64
		want int
	}{
		{1, 0.4, 1},
		{1, 0.5, 2},
		{1, 1.0, 3},
		{2, 0.8, 2},
		{2, 1.0, 3},
		{2, 2.0, 5},
		{4, 3.9, 8},
		{8, 8.0, 8},
		{7, 3.5, 8},
	} {
		g := governor{most: 8, now: tt.now}
		if got := g.next(tt.used); got != tt.want {
			t.Errorf("%d processors, %v used: got %d, want %d", tt.now, tt.used, got, tt.want)
		}
	}
}

func TestProcessorsAreGivenUpAfterPatience(t *testing.T) {
	g := governor{most: 16, now: 16}
	for i := range patience - 1 {
		if n := g.next(0.1); n != 16 {
			t.Fatalf("%d processors after %d calm periods", n, i+1)
		}
	}
	g.next(2.1) // the most that any period needed counts
	if g.now != 5 {
		t.Errorf("got %d processors, want 5", g.now)
	}
	for range patience {
		g.next(0)
	}
	if g.now != 1 {
		t.Errorf("got %d processors in the end, want 1", g.now)
	}
}

func TestABusyPeriodStartsPatienceAnew(t *testing.T) {
	g := governor{most: 4, now: 2}
	for range 10 * patience {
		for range patience - 1 {
			g.next(0.2)
		}
		g.next(0.8)
	}
	if g.now != 2 {
		t.Errorf("got %d processors, want 2", g.now)
	}
}

func TestAnIdleProcessRunsOnOneProcessorAndGivesThemBack(t *testing.T) {
	before := runtime.GOMAXPROCS(4) // more than one, whatever the machine has
	t.Setenv("GOMAXPROCS", "")
	synctest.Test(t, func(t *testing.T) {
		stop := govern(t)
		settle()
		if got := runtime.GOMAXPROCS(0); got != 1 {
			t.Errorf("an idle process may use %d processors, want 1", got)
		}
		stop()
	})
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d processors after the end, want the %d of the machine", got, before)
	}
}

func TestTheEnvironmentHasTheLastWord(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	synctest.Test(t, func(t *testing.T) {
		stop := govern(t)
		settle()
		if got := runtime.GOMAXPROCS(0); got != 2 {
			t.Errorf("got %d processors, want the 2 of the environment", got)
		}
		stop()
	})
}

var discard = slog.New(slog.DiscardHandler)

// govern starts Govern; what it returns stops it and waits.
func govern(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Govern(ctx, discard) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Govern: %v", err)
		}
	}
}

// settle lets more than patience pass, in which the process does next to nothing.
func settle() { time.Sleep(2 * patience * period) }
