package main

import (
	"strings"
	"testing"
	"time"
)

func TestComparisonPrintsMediansAndTheirRatio(t *testing.T) {
	run := func(perSecond int64, cpu time.Duration, more ...figure) result {
		return result{count: perSecond, elapsed: time.Second, cpu: usage{edge: cpu}, more: more}
	}
	a := []result{run(100, time.Second), run(300, 3*time.Second), run(200, 2*time.Second)}
	b := []result{run(110, time.Second), run(150, time.Second), run(100, time.Second, figure{"not in all runs", 1})}
	var out strings.Builder
	printComparison(&out, "a case", a, b)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	got := strings.Join(strings.Fields(lines[1]), " ")
	if want := "per second 200.00 110.00 0.550 0.500 to 1.100"; len(lines) != 6 || got != want {
		t.Errorf("got\n%s\nwant a header and five figures, the first %q", out.String(), want)
	}
}

func TestMedianOfAnEvenNumberIsBetweenTheTwoInTheMiddle(t *testing.T) {
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of 4, 1, 3, 2: got %v, want 2.5", got)
	}
}
