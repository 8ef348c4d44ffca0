// Chaos runs a whole system (three edges, two history services, Redis) under
// load while it kills, stops, restarts, cuts off and slows its parts, and then
// checks that every promise of docs/protocol.md was kept. docs/reliability.md
// says what it found.
//
//	make chaos                          two minutes: a Cluster, then a single Redis
//	make chaos CHAOS_FOR=1h             the same for an hour
//	make chaos CHAOS_SEED=7             with the faults of seed 7
//	go run ./e2e/chaos -store sentinel -for 30s -faults 'kill|pub/sub'
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// Of the length of a run over all stores, what the Cluster gets, in percent.
const clusterShare = 70

func main() {
	store := flag.String("store", "", "`cluster`, single or sentinel; none: cluster, then single")
	length := flag.Duration("for", 2*time.Minute, "how long faults are injected")
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "`number` that decides the schedule of faults")
	faults := flag.String("faults", ".", "inject the faults whose name matches this `expression`")
	dump := flag.String("dump", "", "`folder` for the recordings and logs of a run that failed")
	rooms := flag.Int("rooms", 16, "groups that are talked in")
	every := flag.Duration("every", 150*time.Millisecond, "mean time between two messages of a publisher")
	flag.Parse()
	only, err := regexp.Compile(*faults)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: -faults:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cfg := config{
		settle: 45 * time.Second, seed: *seed, faults: only, out: os.Stdout,
		size: size{rooms: *rooms, listeners: 4, publishers: 2, every: *every},
	}
	ok := true
	for _, part := range parts(*store, *length) {
		cfg.store, cfg.length = part.store, part.length
		ok = report(ctx, cfg, *dump) && ok
	}
	stop()
	if !ok {
		os.Exit(1)
	}
}

type part struct {
	store  string
	length time.Duration
}

func parts(store string, length time.Duration) []part {
	if store != "" {
		return []part{{store, length}}
	}
	c := length * clusterShare / 100
	return []part{{cluster, c}, {single, length - c}}
}

// report does a run and prints what came of it.
func report(ctx context.Context, cfg config, dump string) (ok bool) {
	fmt.Printf("==== %s, seed %d, %v\n", cfg.store, cfg.seed, cfg.length)
	err := testbed.Program(func(tb testbed.TB, fail func()) {
		o := run(ctx, tb, cfg)
		printOutcome(o)
		if ok = o.ok(); !ok {
			fail()
			writeDump(dump, o)
		}
	})
	if err != nil {
		fmt.Println("FAILED:", err)
	}
	return ok && err == nil
}

// mostShown violations of each rule are printed.
const mostShown = 5

func printOutcome(o *outcome) {
	s := o.summary
	fmt.Printf("\nmessages %d (acked %d, sends %d, refusals %d), deliveries %d, connections %d (resumes %d, of these told 410: %d; closed with 410: %d)\n",
		s.Messages, s.Acked, s.Sends, s.Refusals, s.Deliveries, s.Conns, s.Resumes, s.ResumesGone, s.Gone)
	fmt.Printf("recalls %d, told %d times; pages %d; faults %d; acked messages that Redis lost, all reported: %d\n\n",
		s.Recalls, s.RecallsTold, s.Pages, len(o.faults), s.Lost)
	fmt.Printf("%-24s %4s  %27s  %27s\n", "seconds from the fault", "", "until every room publishes", "until every member receives")
	fmt.Printf("%-24s %4s  %8s %8s %8s   %8s %8s %8s\n", "to", "n", "p50", "p99", "max", "p50", "p99", "max")
	for _, name := range slices.Sorted(maps.Keys(o.recoveries)) {
		r := o.recoveries[name]
		fmt.Printf("%-24s %4d  %s   %s\n", name, len(r.publish), columns(r.publish), columns(r.receive))
	}
	fmt.Println()
	for _, b := range o.broken {
		fmt.Println("BROKEN:", b)
	}
	shown := make(map[check.Rule]int)
	for _, v := range o.violations {
		if shown[v.Rule]++; shown[v.Rule] <= mostShown {
			fmt.Println("VIOLATION:", v)
		}
	}
	if o.ok() {
		fmt.Println("every promise was kept")
	} else {
		for _, r := range check.Rules(o.violations) {
			fmt.Printf("broken %d times: %s\n", shown[r], r)
		}
	}
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
