package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// mostShown violations of each rule are printed.
const mostShown = 5

// print prints the outcome of a run.
func (o *outcome) print(to io.Writer) {
	s := o.summary
	fmt.Fprintf(to, "\nmessages %d (acked %d, sends %d, refusals %d), deliveries %d, connections %d (resumes %d, of these refused with 410: %d; closed with 410: %d)\n",
		s.Messages, s.Acked, s.Sends, s.Refusals, s.Deliveries, s.Conns, s.Resumes, s.ResumesGone, s.Gone)
	fmt.Fprintf(to, "recalls %d, delivered %d times; pages %d; faults %d; moves of edges %d; acked messages that Redis lost, all reported: %d\n\n",
		s.Recalls, s.RecallsDelivered, s.Pages, len(o.faults), o.moves, s.Lost)
	o.printRecoveries(to)
	for _, b := range o.broken {
		fmt.Fprintln(to, "BROKEN:", b)
	}
	shown := make(map[check.Rule]int)
	for _, v := range o.violations {
		if shown[v.Rule]++; shown[v.Rule] <= mostShown {
			fmt.Fprintln(to, "VIOLATION:", v)
		}
	}
	for _, r := range check.Rules(o.violations) {
		fmt.Fprintf(to, "broken %d times: %s\n", shown[r], r)
	}
	if o.ok() {
		fmt.Fprintln(to, "every promise was kept")
	}
}

func (o *outcome) printRecoveries(to io.Writer) {
	fmt.Fprintf(to, "%-24s %4s %8s  %26s  %27s\n", "seconds from the fault", "", "lasts", "until every room publishes", "until every member receives")
	fmt.Fprintf(to, "%-24s %4s %8s  %8s %8s %8s   %8s %8s %8s\n", "to", "n", "p50", "p50", "p99", "max", "p50", "p99", "max")
	for _, name := range slices.Sorted(maps.Keys(o.recoveries)) {
		r := o.recoveries[name]
		fmt.Fprintf(to, "%-24s %4d %8.2f  %s   %s\n", name, len(r.publish), percentile(r.lasts, 50).Seconds(), columns(r.publish), columns(r.receive))
	}
	fmt.Fprintln(to)
}

func columns(times []time.Duration) string {
	var b strings.Builder
	for i, p := range []int{50, 99, 100} {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%8.2f", percentile(times, p).Seconds())
	}
	return b.String()
}
