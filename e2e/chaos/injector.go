package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

const (
	// Before a fault, Redis gets that long to be whole again.
	wholeWithin = 30 * time.Second
	// A master acks what its replicas have not got yet; and may have been gone
	// for that long when it is seen to be replaced.
	lossBefore = 1 * time.Second
	seenBefore = 15 * time.Second
	// By then members must have heard of the loss.
	lossAfter = 15 * time.Second
)

// injection is a fault as it was carried out.
type injection struct {
	step
	hit string
	// Since the run began.
	from, to check.Time
	// No other fault touches it.
	alone bool
}

// injector carries out a schedule.
type injector struct {
	bed  *bed
	work *workload
	out  io.Writer
	// The Cluster's slot of every room.
	slots map[string]int
	done  []injection

	mu    sync.Mutex
	lossy map[string][]check.Span
}

func newInjector(ctx context.Context, b *bed, w *workload, out io.Writer) (*injector, error) {
	inj := &injector{bed: b, work: w, out: out, slots: make(map[string]int), lossy: make(map[string][]check.Span)}
	for _, r := range w.rooms {
		inj.slots[r.name] = 0
		if b.redis.kind != cluster {
			continue
		}
		slot, err := b.redis.client.ClusterKeySlot(ctx, r.name).Result()
		if err != nil {
			return nil, fmt.Errorf("the slot of %s: %w", r.name, err)
		}
		inj.slots[r.name] = int(slot)
	}
	return inj, nil
}

// active is a fault that has not ended.
type active struct {
	index int
	until time.Time
	end   func()
}

// inject carries out the steps, each at its time, and returns when the run has
// lasted as long as it should. Where a step must wait for Redis, all later ones
// wait, too.
func (i *injector) inject(ctx context.Context, steps []step, length time.Duration) {
	begin := time.Now()
	var running []active
	for _, s := range steps {
		running = i.until(ctx, begin.Add(s.at), running)
		if ctx.Err() != nil {
			break
		}
		if s.kind.whole && i.bed.redis.healthy(ctx) != nil {
			for _, a := range running {
				i.end(a)
			}
			running = nil
			late := time.Now()
			i.awaitWhole(ctx)
			begin = begin.Add(time.Since(late))
		}
		if a, ok := i.begin(ctx, s); ok {
			running = append(running, a)
		}
	}
	running = i.until(ctx, begin.Add(length), running)
	for _, a := range running {
		i.end(a)
	}
	i.findAlone()
}

// until waits, and ends the faults whose time comes.
func (i *injector) until(ctx context.Context, at time.Time, running []active) []active {
	for ctx.Err() == nil {
		slices.SortFunc(running, func(a, b active) int { return a.until.Compare(b.until) })
		if len(running) == 0 || running[0].until.After(at) {
			sleep(ctx, time.Until(at))
			return running
		}
		sleep(ctx, time.Until(running[0].until))
		i.end(running[0])
		running = running[1:]
	}
	return running
}

func (i *injector) awaitWhole(ctx context.Context) {
	if err := within(ctx, wholeWithin, func() error { return i.bed.redis.healthy(ctx) }); err != nil {
		i.logf("Redis is not whole: %v", err)
	}
}

func (i *injector) begin(ctx context.Context, s step) (active, bool) {
	from := i.now()
	owned := i.owned(ctx)
	hit, end, losers, err := s.kind.begin(ctx, i.bed, s.target)
	if err != nil {
		i.logf("%s: not possible: %v", s.kind.name, err)
		return active{}, false
	}
	for _, n := range losers {
		i.mayLose(owned[n], check.Span{From: from - lossBefore, To: from + s.lasts + lossAfter})
	}
	i.logf("%s (%s) for %v", s.kind.name, hit, s.lasts.Round(time.Millisecond))
	i.done = append(i.done, injection{step: s, hit: hit, from: from, to: from + s.lasts})
	return active{index: len(i.done) - 1, until: time.Now().Add(s.lasts), end: end}, true
}

// owned returns the rooms that each master keeps; a master that is hit cannot be
// asked any more.
func (i *injector) owned(ctx context.Context) map[*node]map[string]bool {
	all := make(map[*node]map[string]bool)
	for _, n := range i.bed.redis.those(ctx, true) {
		if rooms, err := i.bed.redis.owns(ctx, n, i.slots); err == nil {
			all[n] = rooms
		}
	}
	return all
}

func (i *injector) end(a active) {
	a.end()
	i.done[a.index].to = i.now()
}

// promoted hears that a replica took over without its master's consent.
func (i *injector) promoted(ctx context.Context, n *node) {
	rooms, err := i.bed.redis.owns(ctx, n, i.slots)
	if err != nil {
		return
	}
	now := i.now()
	i.logf("  %s has become a master, of %d rooms", n.Name(), len(rooms))
	i.mayLose(rooms, check.Span{From: now - seenBefore, To: now + lossAfter})
}

func (i *injector) mayLose(rooms map[string]bool, s check.Span) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for name := range rooms {
		i.lossy[name] = append(i.lossy[name], s)
	}
}

// mark tells the checker when Redis may have lost something.
func (i *injector) mark(rec *check.Recording) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range rec.Groups {
		g.Lossy = merge(i.lossy[g.Name])
	}
}

// merge joins spans that touch.
func merge(spans []check.Span) []check.Span {
	slices.SortFunc(spans, func(a, b check.Span) int { return int(a.From - b.From) })
	var all []check.Span
	for _, s := range spans {
		if n := len(all); n > 0 && s.From <= all[n-1].To {
			all[n-1].To = max(all[n-1].To, s.To)
			continue
		}
		all = append(all, s)
	}
	return all
}

// findAlone marks the faults that no other one touches.
func (i *injector) findAlone() {
	for n := range i.done {
		f := &i.done[n]
		f.alone = !slices.ContainsFunc(i.done, func(o injection) bool {
			return o.from != f.from && o.from < f.to+minRest && o.to+minRest > f.from
		})
	}
}

func (i *injector) now() check.Time { return time.Since(i.work.zero) }

func (i *injector) logf(format string, args ...any) {
	fmt.Fprintf(i.out, "%8.3f s  %s\n", i.now().Seconds(), strings.TrimRight(fmt.Sprintf(format, args...), " "))
}
