// Load measures what a message costs. It starts a redis-server, a historysvc
// and an edge of its own (built by `make build`), drives them over WebSocket
// and HTTP from outside, and prints for each case the CPU seconds of all three
// processes for a million messages, together and apart.
//
// Run it through `make load`, or
//
//	go run ./e2e/load -bin bin -for 10s -run 'rooms|idle'
//
// With -versus-bin it compares two builds: it runs each case with both in turns
// and prints the medians and their ratio. A machine's speed changes from one
// minute to the next, so only figures of the same minutes can be compared.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the built `edge` and `historysvc`, or gotapi-ws")
	redisServer := flag.String("redis-server", "redis-server", "the redis-server program")
	duration := flag.Duration("for", 10*time.Second, "how long to measure each case")
	run := flag.String("run", ".", "run the cases whose name matches this regular expression")
	edgeFlags := flag.String("edge-flags", "", "more `flags` for the edge, separated by spaces, such as \"-ops-listen 127.0.0.1:6060\" to profile it")
	historyFlags := flag.String("historysvc-flags", "", "more `flags` for the history service")
	versusBin := flag.String("versus-bin", "", "compare the build in -bin with the build in this `folder`, case by case in turns")
	versusEdgeFlags := flag.String("versus-edge-flags", "", "as -edge-flags, for the build in -versus-bin; the default is -edge-flags (\" \" for none)")
	versusHistoryFlags := flag.String("versus-historysvc-flags", "", "as -historysvc-flags, for the build in -versus-bin; the default is -historysvc-flags (\" \" for none)")
	rounds := flag.Int("rounds", 3, "with -versus-bin: number of runs of each case by each build")
	together := flag.Bool("together", false, "measure gotapi-ws, both services in one process; its figures are printed as the edge's")
	idle := flag.Int("idle", 10000, "connections of the idle case")
	curve := flag.Bool("curves", false, "instead of the cases, measure how cost grows with members, groups, bytes and connections")
	deep := flag.Bool("depth", false, "instead of the cases, measure large histories: memory, reads, recalls and appends by depth")
	deepEach := flag.Int("depth-each", 1000, "with -depth: `messages` of each of 10,000 groups")
	crowded := flag.String("crowd", "", "run only the members that this `JSON` describes (see crowd.go), controlled by standard input")
	probed := flag.String("probe", "", "only measure the latency of messages on the edge at this `address`, until interrupted")
	flag.Parse()
	// Else the stacks of 15,000 readers are scanned so often that the collector takes
	// half a processor from the servers that are measured.
	debug.SetGCPercent(800)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *probed != "" {
		if err := probe(ctx, *probed, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	if *crowded != "" {
		if err := serveCrowd(ctx, *crowded, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	chosen := cases(*duration, *idle)
	if *curve {
		chosen = curves(*duration)
	}
	p := programs{
		bin: *bin, redisServer: *redisServer,
		edgeFlags: strings.Fields(*edgeFlags), historyFlags: strings.Fields(*historyFlags), together: *together,
	}
	var err error
	switch {
	case *deep:
		err = depth(ctx, p, depthPlan{groups: 10_000, each: *deepEach, lengths: []int{100, 1000, 10_000, 100_000}})
	case *versusBin != "":
		versus := p
		versus.bin = *versusBin
		versus.edgeFlags = strings.Fields(cmp.Or(*versusEdgeFlags, *edgeFlags))
		versus.historyFlags = strings.Fields(cmp.Or(*versusHistoryFlags, *historyFlags))
		err = compare(ctx, p, versus, *rounds, *run, chosen)
	default:
		err = measure(ctx, p, *run, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
