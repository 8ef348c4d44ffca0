package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// config holds the settings of a run.
type config struct {
	store string
	// Both services are one program.
	together bool
	length   time.Duration
	// How long members may take, after the last fault, to receive everything.
	settle time.Duration
	seed   uint64
	faults *regexp.Regexp
	// More settings of the Redis servers.
	redisArgs []string
	// What acks of the history services wait for.
	acks acks
	size size
	out  io.Writer
}

// kinds are the faults that can come.
func (c *config) kinds() (all []kind) {
	for _, k := range kinds() {
		if (k.store == "" || k.store == c.store) && !(k.apart && c.together) && !(k.fsync && !c.acks.fsync) && c.faults.MatchString(k.name) {
			all = append(all, k)
		}
	}
	return all
}

// A longer run is made of rounds with rooms of their own: each is checked and
// forgotten before the next, so that its record fits into memory.
const longestRound = 3 * time.Minute

// outcome is the result of a run.
type outcome struct {
	summary    check.Summary
	violations []check.Violation
	// Faults beyond the rules: programs that crashed, a system that does not recover.
	broken     []string
	faults     []injection
	recoveries map[string]*recovery
	recordings []*check.Recording // of rounds that broke rules
	// How often edges moved from one history service to another.
	moves int
}

func (o *outcome) ok() bool { return len(o.violations) == 0 && len(o.broken) == 0 }

// run does a whole run on a system of its own.
func run(ctx context.Context, tb testbed.TB, cfg config) *outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := startBed(ctx, tb, cfg)
	defer b.supervisors.Wait()
	defer cancel()
	o := &outcome{recoveries: make(map[string]*recovery)}
	for round := 0; cfg.length > 0 && ctx.Err() == nil && len(o.broken) == 0; round++ {
		length := min(cfg.length, longestRound)
		cfg.length -= length
		runRound(ctx, b, cfg, round, length, o)
	}
	o.moves = b.moves()
	o.broken = append(o.broken, b.crashes()...)
	return o
}

func runRound(ctx context.Context, b *bed, cfg config, round int, length time.Duration, o *outcome) {
	w := newWorkload(cfg.size, b.addrs(), b.serviceAddrs(), cfg.seed, round)
	living, leave := context.WithCancel(ctx)
	defer w.living.Wait()
	defer leave()
	inj, err := newInjector(ctx, b, w, cfg.out)
	if err != nil {
		o.broken = append(o.broken, err.Error())
		return
	}
	var watching sync.WaitGroup
	watched, unwatch := context.WithCancel(ctx)
	watching.Go(func() { b.redis.watch(watched, func(n *node) { inj.promoted(watched, n) }) })
	stop := w.start(living)
	inj.inject(ctx, schedule(cfg.seed+uint64(round), cfg.kinds(), length), length)
	talked := time.Since(w.zero)
	b.heal()
	stop()
	failed := w.settle(ctx, cfg.settle)
	if failed == nil {
		failed = w.presence(ctx)
	}
	if failed == nil {
		failed = b.balanced(ctx)
	}
	unwatch()
	watching.Wait()
	rec, err := w.recording(ctx, b.redis)
	if failed != nil {
		err = failed
	}
	if err != nil {
		o.broken = append(o.broken, err.Error())
		if rec == nil {
			return
		}
	}
	inj.mark(rec)
	rec.Replicated = cfg.acks.ofAll(cfg.store)
	summary, violations := check.Check(rec)
	o.summary.Add(summary)
	o.violations = append(o.violations, violations...)
	if len(violations) > 0 {
		o.recordings = append(o.recordings, rec)
	}
	o.faults = append(o.faults, inj.done...)
	measure(o.recoveries, inj.done, rec, w, talked)
	fmt.Fprintf(cfg.out, "round %d: %d messages, %d deliveries, %d violations\n", round+1, summary.Messages, summary.Deliveries, len(violations))
}
