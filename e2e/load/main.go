// Load measures what a message costs. It starts a redis-server, a historysvc
// and an edge of its own (built by `make build`), drives them over WebSocket
// and HTTP from outside, and prints for each case the CPU seconds of all three
// processes for a million messages, together and apart.
//
// Run it through `make load`, or
//
//	go run ./e2e/load -bin bin -for 10s -run 'rooms|idle'
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the built `edge` and `historysvc`, or gotapi-ws")
	redisServer := flag.String("redis-server", "redis-server", "the redis-server program")
	duration := flag.Duration("for", 10*time.Second, "how long each case is measured")
	run := flag.String("run", ".", "run the cases whose name matches this regular expression")
	edgeFlags := flag.String("edge-flags", "", "more `flags` for the edge, separated by spaces, such as \"-ops-listen 127.0.0.1:6060\" to profile it")
	historyFlags := flag.String("historysvc-flags", "", "more `flags` for the history service")
	together := flag.Bool("together", false, "measure gotapi-ws, both services in one process, whose figures are printed as the edge's")
	idle := flag.Int("idle", 10000, "connections of the idle case")
	curve := flag.Bool("curves", false, "instead of the cases, show how the cost grows with members, groups, bytes and connections")
	deep := flag.Bool("depth", false, "instead of the cases, measure large histories: memory, reads, recalls and appends by depth")
	deepEach := flag.Int("depth-each", 1000, "with -depth: `messages` of each of 10,000 groups")
	crowded := flag.String("crowd", "", "only be the members that this `JSON` describes (see crowd.go), and obey standard input")
	probed := flag.String("probe", "", "only measure how long messages take on the edge at this `address`, until interrupted")
	flag.Parse()
	// Else the stacks of 15,000 readers are scanned so often that the collector takes
	// half a processor from the servers that are measured.
	debug.SetGCPercent(800)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *probed != "" {
		note, err := probe(ctx, *probed)
		if err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		fmt.Println(note)
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
	if *deep {
		err = depth(ctx, p, depthPlan{groups: 10_000, each: *deepEach, lengths: []int{100, 1000, 10_000, 100_000}})
	} else {
		err = measure(ctx, p, *run, chosen)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, p programs, run string, all []loadCase) error {
	match, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	fmt.Printf("%-34s %12s %10s %10s %10s %10s  %s\n", "case", "per second", "CPU s/M", "edge", "historysvc", "redis", "")
	for _, c := range all {
		if !match.MatchString(c.name) {
			continue
		}
		if err := measureOne(ctx, p, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// measureOne runs one case on servers of its own, so that no case inherits
// another's memory.
func measureOne(ctx context.Context, p programs, c loadCase) error {
	p.edges = c.edges
	s, err := startServers(ctx, p)
	if err != nil {
		return err
	}
	defer s.stop()
	r, err := c.run(ctx, s)
	if err != nil {
		return err
	}
	perMillion := func(d time.Duration) float64 { return d.Seconds() / float64(r.count) * 1e6 }
	fmt.Printf("%-34s %12.0f %10.1f %10.1f %10.1f %10.1f  %s\n", c.name, float64(r.count)/r.elapsed.Seconds(),
		perMillion(r.cpu.total()), perMillion(r.cpu.edge), perMillion(r.cpu.historysvc), perMillion(r.cpu.redis), r.note)
	return nil
}
