package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// depthPlan is what the experiment with large histories fills.
type depthPlan struct {
	groups, each int   // many groups with so many messages each
	lengths      []int // lists of which one is read, recalled from and appended to
}

const (
	depthCalls = 200 // of each kind at each place
	depthPage  = 100 // messages
)

func depthGroup(n int) string { return fmt.Sprintf("/depth/%d", n) }

// depth measures what stored messages take of Redis's memory, and what reads,
// recalls and appends cost in lists of several lengths. The history service is
// filled and asked over gRPC: edges have no part in it.
func depth(ctx context.Context, p programs, plan depthPlan) error {
	for _, part := range []struct {
		cap int // of each group's history
		run func(context.Context, *deep, depthPlan) error
	}{
		{slices.Max(plan.lengths), lengthsPart},
		{plan.each, groupsPart},
		{turnoverCap, turnoverPart},
	} {
		if err := onFreshServers(ctx, p, part.cap, func(d *deep) error { return part.run(ctx, d, plan) }); err != nil {
			return err
		}
	}
	return nil
}

// deep is the servers of one part of the experiment.
type deep struct {
	*historyClient
	redis redisMeter
}

func onFreshServers(ctx context.Context, p programs, historyCap int, part func(*deep) error) error {
	p.historyFlags = append(slices.Clip(p.historyFlags), "-history-cap", strconv.Itoa(historyCap))
	s, err := startServers(ctx, p)
	if err != nil {
		return err
	}
	defer s.stop()
	c, err := dialHistory(s.history)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	defer client.Close()
	return part(&deep{c, redisMeter{client}})
}

// fill stores n messages of a group, from the given one on.
func (d *deep) fill(ctx context.Context, window, group, from, n int) error {
	return d.store(ctx, window, func(yield func(message) bool) {
		for i := range n {
			if !yield(message{group, from + i}) {
				return
			}
		}
	})
}

// used runs f and returns what Redis used for it.
func (d *deep) used(ctx context.Context, f func() error) (redisUse, time.Duration, error) {
	before, err := d.redis.read(ctx)
	if err != nil {
		return redisUse{}, 0, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return redisUse{}, 0, err
	}
	took := time.Since(start)
	after, err := d.redis.read(ctx)
	return after.since(before), took, err
}

// ---- memory, and appends to many groups

// groupsPart fills many groups, a hundred messages of each at a time, and then
// appends one message to each, over and over.
func groupsPart(ctx context.Context, d *deep, plan depthPlan) error {
	const chunk = 100
	n := plan.groups * plan.each
	use, took, err := d.used(ctx, func() error {
		return d.store(ctx, fillWindow, func(yield func(message) bool) {
			for from := 0; from < plan.each; from += chunk {
				for g := range plan.groups {
					for i := from; i < min(from+chunk, plan.each); i++ {
						if !yield(message{g, i}) {
							return
						}
					}
				}
			}
		})
	})
	if err != nil {
		return err
	}
	printMemory(fmt.Sprintf("%d groups of %d", plan.groups, plan.each), n, use, took)

	turns := max(1, 200_000/plan.groups)
	use, took, err = d.used(ctx, func() error {
		return d.store(ctx, fillWindow, func(yield func(message) bool) {
			for i := range turns {
				for g := range plan.groups {
					if !yield(message{g, plan.each + i}) {
						return
					}
				}
			}
		})
	})
	if err == nil {
		n := turns * plan.groups
		fmt.Printf("append to %d groups of %d in turns: %.1f us of Redis CPU per message, %.0f per second\n\n",
			plan.groups, plan.each, micros(use.cpu, n), float64(n)/took.Seconds())
	}
	return err
}

func printMemory(what string, n int, use redisUse, took time.Duration) {
	fmt.Printf("memory: %-24s %10d messages, %.0f bytes each (%.0f resident); filled at %.0f per second, %.1f us of Redis CPU each\n",
		what, n, float64(use.memory)/float64(n), float64(use.rss)/float64(n), float64(n)/took.Seconds(), micros(use.cpu, n))
}

func micros(d time.Duration, n int) float64 { return float64(d.Microseconds()) / float64(n) }

// turnoverCap is a cap from which on the index forgets by number, and not by age,
// so that the experiment need not wait for ten minutes.
const turnoverCap = 250_000

// turnoverPart shows a group that is at its cap. Then the index knows as many
// messages as are retained right after it has begun a new generation, and twice
// as many right before.
func turnoverPart(ctx context.Context, d *deep, _ depthPlan) error {
	empty, err := d.redis.read(ctx)
	if err != nil {
		return err
	}
	for i, what := range []string{"fewest", "most"} {
		if err := d.fill(ctx, fillWindow, 0, i*turnoverCap, turnoverCap); err != nil {
			return err
		}
		now, err := d.redis.read(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("memory: a list at its cap of %d, when the index knows the %s messages: %.0f bytes for each that is retained\n",
			turnoverCap, what, float64(now.since(empty).memory)/turnoverCap)
	}
	return nil
}

// ---- one list

// lengthsPart makes one list after another, and measures everything that is done with
// one of that length.
func lengthsPart(ctx context.Context, d *deep, plan depthPlan) error {
	for g, length := range plan.lengths {
		use, took, err := d.used(ctx, func() error { return d.fill(ctx, fillWindow, g, 0, length) })
		if err != nil {
			return err
		}
		printMemory("a list of "+fmt.Sprint(length), length, use, took)
	}
	fmt.Printf("\n%-26s %8s  %s\n", "", "list of", "us of Redis inside commands / us of Redis CPU / us until the answer (median), at the newest, middle and oldest messages")
	for _, op := range depthOps {
		for g, length := range plan.lengths {
			if err := d.measureOp(ctx, op, g, length); err != nil {
				return fmt.Errorf("%s in a list of %d: %w", op.name, length, err)
			}
		}
	}
	fmt.Println()
	for g, length := range plan.lengths {
		if err := d.measureAppends(ctx, g, length); err != nil {
			return err
		}
	}
	fmt.Println()
	return nil
}

// depthOp is one kind of call, made n-th at a position in the list of a group;
// position 0 is the newest of length messages.
type depthOp struct {
	name string
	call func(ctx context.Context, d *deep, group, length, position, n int) error
}

// Recalls come last: they leave tombstones.
var depthOps = []depthOp{
	{"page of 100", func(ctx context.Context, d *deep, group, _, position, _ int) error {
		return d.page(ctx, &historyv1.GetHistoryRequest{GroupName: depthGroup(group), Position: int32(position)})
	}},
	{"page of 100 before a uuid", func(ctx context.Context, d *deep, group, length, position, _ int) error {
		return d.page(ctx, &historyv1.GetHistoryRequest{GroupName: depthGroup(group), Before: at(group, length, position)})
	}},
	{"page of 100 after a uuid", func(ctx context.Context, d *deep, group, length, position, _ int) error {
		return d.page(ctx, &historyv1.GetHistoryRequest{GroupName: depthGroup(group), After: at(group, length, position)})
	}},
	{"resume after a uuid", func(ctx context.Context, d *deep, group, length, position, _ int) error {
		resp, err := d.relay.Read(ctx, &relayv1.ReadRequest{Group: depthGroup(group), Start: &relayv1.ReadRequest_AfterUuid{AfterUuid: at(group, length, position)}})
		if err == nil && (resp.GetGap() || len(resp.GetEvents()) == 0) {
			return errors.New("nothing to resume from")
		}
		return err
	}},
	{"recall", func(ctx context.Context, d *deep, group, length, position, n int) error {
		_, err := d.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: depthGroup(group), Uuid: at(group, length, position+n)})
		return err
	}},
}

// at is the uuid of the message at a position.
func at(group, length, position int) string { return message{group, length - 1 - position}.uuid() }

func (d *deep) page(ctx context.Context, req *historyv1.GetHistoryRequest) error {
	size := int32(depthPage)
	req.Size = &size
	resp, err := d.history.GetHistory(ctx, req)
	if err == nil && len(resp.GetData()) == 0 {
		return errors.New("an empty page")
	}
	return err
}

// measureOp prints one line: what op costs at the newest messages, in the
// middle and at the oldest ones.
func (d *deep) measureOp(ctx context.Context, op depthOp, group, length int) error {
	calls := min(depthCalls, length/5)
	margin := min(depthPage, length/5) // so that there is a page on either side
	cells := make([]string, 0, 3)
	for _, position := range []int{margin, length / 2, length - margin - calls} {
		latencies := make([]time.Duration, 0, calls)
		use, _, err := d.used(ctx, func() error {
			for n := range calls {
				start := time.Now()
				if err := op.call(ctx, d, group, length, position, n); err != nil {
					return err
				}
				latencies = append(latencies, time.Since(start))
			}
			return nil
		})
		if err != nil {
			return err
		}
		slices.Sort(latencies)
		cells = append(cells, fmt.Sprintf("%4.0f /%4.0f /%5d", micros(use.executing(), calls), micros(use.cpu, calls), latencies[calls/2].Microseconds()))
	}
	fmt.Printf("%-26s %8d  %s\n", op.name, length, strings.Join(cells, "   "))
	return nil
}

// measureAppends appends to a list, as fast as it goes and one by one.
func (d *deep) measureAppends(ctx context.Context, group, length int) error {
	next := length
	run := func(n, window int) (redisUse, error) {
		use, _, err := d.used(ctx, func() error { return d.fill(ctx, window, group, next, n) })
		next += n
		return use, err
	}
	const busy, alone = 20_000, 500
	many, err := run(busy, fillWindow)
	if err != nil {
		return err
	}
	single, err := run(alone, 1)
	if err != nil {
		return err
	}
	fmt.Printf("append to a list of %-8d busy: %5.1f us of Redis inside commands, %5.1f of CPU;  one by one: %5.1f, %5.1f\n", length,
		micros(many.executing(), busy), micros(many.cpu, busy), micros(single.executing(), alone), micros(single.cpu, alone))
	return nil
}
