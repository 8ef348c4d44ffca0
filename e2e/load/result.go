package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what one run of a case has measured.
type result struct {
	count   int64 // of what the case counts
	elapsed time.Duration
	cpu     usage
	more    []figure // beside the throughput and the CPU time
}

// figure is one measured number; its name includes the unit.
type figure struct {
	name  string
	value float64
}

// figures returns everything that was measured, in the order of the columns of a row.
func (r result) figures() []figure {
	perMillion := func(d time.Duration) float64 { return d.Seconds() / float64(r.count) * 1e6 }
	return append([]figure{
		{"per second", float64(r.count) / r.elapsed.Seconds()},
		{"CPU s/M", perMillion(r.cpu.total())},
		{"edge", perMillion(r.cpu.edge)},
		{"historysvc", perMillion(r.cpu.historysvc)},
		{"redis", perMillion(r.cpu.redis)},
	}, r.more...)
}

const rowHeader = "case                                 per second    CPU s/M       edge historysvc      redis"

// row is the result on one line.
func (r result) row(name string) string {
	f := r.figures()
	row := fmt.Sprintf("%-34s %12.0f %10.1f %10.1f %10.1f %10.1f", name, f[0].value, f[1].value, f[2].value, f[3].value, f[4].value)
	notes := make([]string, 0, len(r.more))
	for _, m := range r.more {
		notes = append(notes, fmt.Sprintf("%s %.2f", m.name, m.value))
	}
	return strings.TrimRight(row+"  "+strings.Join(notes, "; "), " ")
}

// latencies summarizes how long deliveries took.
type latencies struct {
	Seen          int
	P50, P99, Max time.Duration
}

func latenciesOf(all []time.Duration) latencies {
	if len(all) == 0 {
		return latencies{}
	}
	slices.Sort(all)
	at := func(p float64) time.Duration { return all[int(p*float64(len(all)-1))] }
	return latencies{len(all), at(0.5), at(0.99), at(1)}
}

// figures returns none if nothing was delivered.
func (l latencies) figures(of string) []figure {
	if l.Seen == 0 {
		return nil
	}
	return []figure{
		{of + ": p50, ms", millis(l.P50)},
		{of + ": p99, ms", millis(l.P99)},
		{of + ": max, ms", millis(l.Max)},
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
