package runtimetuning

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstGetsMoreProcessorsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		before, busy float64
		want         int
	}{
		{0, 0, 1},
		{0, 0.4, 1},
		{0, 0.5, 2},
		{0, 1.0, 3},
		{0.9, 0.8, 2},
		{0.9, 1.0, 3},
		{0.9, 2.0, 5},
		{1.8, 3.9, 8},
		{8.0, 8.0, 8},
	} {
		tuner := procsTuner{limit: 8, peak: tt.before}
		if got := tuner.next(tt.busy); got != tt.want {
			t.Errorf("%v busy processors after %v: got GOMAXPROCS %d, want %d", tt.busy, tt.before, got, tt.want)
		}
	}
}

func TestProcessorsAreGivenUpSlowly(t *testing.T) {
	tuner := procsTuner{limit: 4}
	tuner.next(4)
	var periods [5]int
	for range 100 {
		periods[tuner.next(0)]++
	}
	for n := 2; n <= 4; n++ {
		if periods[n] == 0 {
			t.Errorf("GOMAXPROCS was never %d on its way from 4 to 1", n)
		}
	}
	if above := periods[2] + periods[3] + periods[4]; above < 10 || above > 50 {
		t.Errorf("GOMAXPROCS was above 1 for %d idle periods, want 10 to 50", above)
	}
}

func TestPausesOfABusyProcessTakeNoProcessorsAway(t *testing.T) {
	tuner := procsTuner{limit: 4}
	for i := range 100 {
		tuner.next(0.6)
		if got := tuner.next(0); got != 2 {
			t.Fatalf("pause %d: got GOMAXPROCS %d, want 2", i+1, got)
		}
	}
}

func TestAnIdleProcessRunsOnOneProcessorUntilTheTuningEnds(t *testing.T) {
	before := runtime.GOMAXPROCS(4) // more than one, whatever the machine has
	t.Setenv("GOMAXPROCS", "")
	t.Setenv("GOGC", "")
	synctest.Test(t, func(t *testing.T) {
		stop := run(t)
		time.Sleep(100 * period)
		if got := runtime.GOMAXPROCS(0); got != 1 {
			t.Errorf("an idle process has GOMAXPROCS %d, want 1", got)
		}
		stop()
	})
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("GOMAXPROCS %d after the end, want the default %d", got, before)
	}
}

func TestGOMAXPROCSInTheEnvironmentIsKept(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	synctest.Test(t, func(t *testing.T) {
		stop := run(t)
		time.Sleep(100 * period)
		stop()
	})
	if got := runtime.GOMAXPROCS(0); got != 2 {
		t.Errorf("got GOMAXPROCS %d, want the 2 of the environment", got)
	}
}
