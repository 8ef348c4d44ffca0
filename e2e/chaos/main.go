// Chaos runs a whole system (three edges, two history services, Redis) under
// load while it kills, stops, restarts, cuts off and slows its parts, and then
// checks that every promise of docs/protocol.md was kept. docs/reliability.md
// says what it found.
//
//	make chaos                          two minutes: a Cluster, then a single Redis
//	make chaos CHAOS_FOR=1h             the same for an hour
//	make chaos CHAOS_SEED=7             with the faults of seed 7
//	make chaos CHAOS_ARGS='-ack-replicas all'  no acked message may be lost with a master
//	make chaos STORE=valkey CHAOS_ARGS=-ack-fsync    nor when a machine fails
//	make chaos CHAOS_ARGS=-together     both services in one program
//	go run ./e2e/chaos -store sentinel -for 30s -faults 'kill|pub/sub'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// Of the length of a run over all stores, what the Cluster gets, in percent.
const clusterShare = 70

func main() {
	store := flag.String("store", "", "`cluster`, single or sentinel; if unset, cluster and then single")
	length := flag.Duration("for", 2*time.Minute, "how long to inject faults")
	seed := flag.Uint64("seed", uint64(time.Now().Unix()), "seed `number` of the schedule of faults")
	faults := flag.String("faults", ".", "inject the faults whose name matches this `expression`")
	dump := flag.String("dump", "", "`folder` for the recordings and logs of a run that failed")
	redisArgs := flag.String("redis", "", "more `settings` of the Redis servers, such as \"--min-replicas-to-write 1\"")
	rooms := flag.Int("rooms", 16, "number of groups")
	var acks acks
	flag.TextVar(&acks.replicas, "ack-replicas", replicas(0),
		"run the history services with -ack-replicas `N`, or all: with those that a master has (Cluster 1, sentinel 2) no acked message may be lost,\nwhatever dies; with fewer, what is lost must be reported")
	flag.BoolVar(&acks.fsync, "ack-fsync", false,
		"run the history services with -ack-fsync, and let machines fail: no acked message may be lost (with a single server, or as -ack-replicas says);\nneeds STORE=redis8 or valkey")
	together := flag.Bool("together", false, "run both services in one program, gotapi-ws, three times")
	every := flag.Duration("every", 150*time.Millisecond, "mean time between two messages of a publisher")
	flag.Parse()
	only, err := regexp.Compile(*faults)
	if err == nil && !slices.Contains([]string{"", cluster, single, sentinel}, *store) {
		err = fmt.Errorf("-store: unknown store %q", *store)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	redis.SetLogger(silent{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cfg := config{
		together: *together, settle: 45 * time.Second, seed: *seed, faults: only, redisArgs: strings.Fields(*redisArgs), acks: acks, out: os.Stdout,
		size: size{rooms: *rooms, listeners: 4, publishers: 2, every: *every},
	}
	ok := true
	for _, part := range parts(*store, *length, acks) {
		cfg.store, cfg.length = part.store, part.length
		ok = report(ctx, cfg, *dump) && ok
	}
	stop()
	if !ok {
		os.Exit(1)
	}
}

// silent discards go-redis's log, which would be full of the faults injected here.
type silent struct{}

// Printf implements the interface that go-redis wants.
func (silent) Printf(context.Context, string, ...any) {}

type part struct {
	store  string
	length time.Duration
}

func parts(store string, length time.Duration, acks acks) []part {
	switch {
	case store != "":
	case acks.replicas != 0:
		store = cluster // a single server has no replicas
	case acks.fsync:
		store = single // elsewhere the loss of a master may lose something all the same
	}
	if store != "" {
		return []part{{store, length}}
	}
	c := length * clusterShare / 100
	return []part{{cluster, c}, {single, length - c}}
}

// report does a run and prints its outcome.
func report(ctx context.Context, cfg config, dump string) (ok bool) {
	fmt.Fprintf(cfg.out, "==== %s, seed %d, %v\n", cfg.store, cfg.seed, cfg.length)
	var dumped error
	err := testbed.Program(func(tb testbed.TB, fail func()) {
		o := run(ctx, tb, cfg)
		o.print(cfg.out)
		if ok = o.ok(); !ok {
			fail()
			dumped = writeDump(dump, o)
		}
	})
	if err = errors.Join(err, dumped); err != nil {
		fmt.Fprintln(cfg.out, "FAILED:", err)
	}
	return ok && err == nil
}
