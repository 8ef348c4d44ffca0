// Storm measures what happens when an edge dies with all its members: it starts
// three edges, two history services and a Redis, has all members on one edge,
// kills that, and watches them come back on the others, each with ?after= and the
// pauses of the JavaScript clients, while publishers go on. Every member's
// stream is checked: nothing may be missing, doubled or out of order.
//
//	make storm                              10,000 members of 100 groups
//	go run ./e2e/storm -members 2000 -drain 10s
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func main() {
	cfg := config{out: os.Stdout}
	flag.IntVar(&cfg.members, "members", 10_000, "number of members, in all groups together")
	flag.IntVar(&cfg.groups, "groups", 100, "number of groups")
	flag.IntVar(&cfg.rate, "rate", 500, "messages per second, in all groups together")
	flag.DurationVar(&cfg.drain, "drain", 0, "stop the edge gracefully over this `time`; 0s: kill it")
	flag.DurationVar(&cfg.patience, "patience", 2*time.Minute, "give up after this time")
	edgeFlags := flag.String("edge-flags", "", "more `flags` of the edges, separated by spaces")
	flag.Parse()
	cfg.edgeArgs = strings.Fields(*edgeFlags)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var failed error
	err := testbed.Program(func(tb testbed.TB, fail func()) {
		r, err := run(ctx, tb, cfg)
		if failed = err; err != nil {
			fail()
			return
		}
		r.print(os.Stdout)
	})
	stop()
	if err == nil {
		err = failed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}
