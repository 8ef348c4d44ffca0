package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// config is the size of a storm.
type config struct {
	members, groups int
	// Messages a second in all.
	rate int
	// Over which time the edge is ended; 0: it is killed.
	drain    time.Duration
	patience time.Duration
	// More flags of all edges, and of those that the members come back to.
	edgeArgs, survivorArgs []string
	out                    io.Writer
}

// bed is the system: the first edge is the one that dies.
type bed struct {
	redis    *testbed.Redis
	services []*testbed.Process
	edges    []*edge
}

type edge struct {
	*testbed.Process
	// Where its metrics are.
	ops string
}

const edgeCount, serviceCount = 3, 2

func startBed(tb testbed.TB, cfg config) *bed {
	b := &bed{redis: testbed.StartRedis(tb, "--appendfsync", "everysec")}
	for range serviceCount {
		b.services = append(b.services, testbed.StartService(tb, b.redis, "-log-level", "warn"))
	}
	for i := range edgeCount {
		ops := testbed.FreeAddr(tb)
		args := append([]string{"-ops-listen", ops, "-log-level", "warn", "-drain", cfg.drain.String()}, cfg.edgeArgs...)
		if i > 0 {
			args = append(args, cfg.survivorArgs...)
		}
		b.edges = append(b.edges, &edge{testbed.StartEdge(tb, b.services, args...), ops})
	}
	return b
}

// report is the result of a storm.
type report struct {
	cfg config
	// From the beginning of the storm until each member was connected again, and
	// until it had everything that had been acked by then.
	back, whole []time.Duration
	// Connections that were refused by the rate.
	refused int64
	// From the beginning until the last member was whole, and in the same time
	// before that.
	storm, calm cost
	peak        int64 // Redis commands in the busiest 100 ms, per second
	delivered   int64
}

// crowd is all members and publishers.
type crowd struct {
	rooms   []*room
	members []*member
	living  sync.WaitGroup
}

func run(ctx context.Context, tb testbed.TB, cfg config) (*report, error) {
	b := startBed(tb, cfg)
	ctx, cancel := context.WithTimeout(ctx, cfg.patience)
	defer cancel()
	var down atomic.Bool
	c := newCrowd(cfg, func() []string {
		if down.Load() { // the balancer has noticed
			return []string{b.edges[1].Addr, b.edges[2].Addr}
		}
		return []string{b.edges[0].Addr}
	})
	lives, end := context.WithCancel(ctx)
	defer func() { end(); c.living.Wait() }()
	publishing, quiet := context.WithCancel(ctx)
	defer quiet()
	publishers := c.publish(publishing, cfg, []string{b.edges[1].Addr, b.edges[2].Addr})
	c.join(lives)
	if err := c.until(ctx, "all are connected and have a message", func(m *member) bool { return m.last.Load() > 0 }); err != nil {
		return nil, err
	}
	r := &report{cfg: cfg}
	if err := r.watch(ctx, b, c, func() {
		for _, m := range c.members {
			m.begin()
		}
		down.Store(true)
		if cfg.drain > 0 {
			b.edges[0].Terminate()
		} else {
			b.edges[0].Kill()
		}
	}); err != nil {
		return nil, err
	}
	quiet()
	publishers.Wait()
	return r, c.settle(ctx, r)
}

func newCrowd(cfg config, addrs func() []string) *crowd {
	c := &crowd{}
	for i := range cfg.groups {
		c.rooms = append(c.rooms, &room{name: fmt.Sprintf("/storm/%d", i)})
	}
	for i := range cfg.members {
		c.members = append(c.members, &member{room: c.rooms[i%cfg.groups], addrs: addrs})
	}
	return c
}

// publish starts one publisher for each room, spread over the beat.
func (c *crowd) publish(ctx context.Context, cfg config, addrs []string) *sync.WaitGroup {
	every := time.Duration(cfg.groups) * time.Second / time.Duration(cfg.rate)
	publishers := &sync.WaitGroup{}
	for i, r := range c.rooms {
		publishers.Go(func() {
			wait(ctx, every*time.Duration(i)/time.Duration(cfg.groups))
			publish(ctx, r, func() []string { return addrs }, every)
		})
	}
	return publishers
}

// join starts the members, at a pace that no edge minds.
func (c *crowd) join(ctx context.Context) {
	for i, m := range c.members {
		c.living.Go(func() {
			wait(ctx, time.Duration(i)*time.Millisecond)
			m.live(ctx)
		})
	}
}

// until waits until all members are as they should be.
func (c *crowd) until(ctx context.Context, what string, done func(*member) bool) error {
	for {
		missing := 0
		for _, m := range c.members {
			if why := m.fault.Load(); why != nil {
				return errors.New(*why)
			}
			if !done(m) {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		wait(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("not in time: %s: %d of %d are not: %w", what, missing, len(c.members), ctx.Err())
		}
	}
}

// calmTime is how long the system is measured before the storm.
const calmTime = 3 * time.Second

// watch measures the calm, begins the storm, and measures that.
func (r *report) watch(ctx context.Context, b *bed, c *crowd, begin func()) error {
	before, err := b.measure(ctx)
	if err != nil {
		return err
	}
	wait(ctx, calmTime)
	start, err := b.measure(ctx)
	if err != nil {
		return err
	}
	r.calm = start.minus(before)
	r.calm.at = before.at

	sampling, stop := context.WithCancel(ctx)
	var sampler sync.WaitGroup
	sampler.Go(func() { r.peak = b.peak(sampling) })
	defer func() { stop(); sampler.Wait() }()
	begin()
	if err := c.until(ctx, "all are back and have everything", func(m *member) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return !m.wholeAt.IsZero()
	}); err != nil {
		return err
	}
	end, err := b.measure(ctx)
	if err != nil {
		return err
	}
	r.storm = end.minus(start)
	r.storm.at = start.at
	for _, m := range c.members {
		r.back = append(r.back, m.backAt.Sub(start.at))
		r.whole = append(r.whole, m.wholeAt.Sub(start.at))
	}
	return nil
}

// peak returns the most commands that Redis has executed within 100 ms, per second.
func (b *bed) peak(ctx context.Context) (peak int64) {
	before, err := b.commands(ctx)
	at := time.Now()
	for err == nil && ctx.Err() == nil {
		wait(ctx, 100*time.Millisecond)
		now, err := b.commands(ctx)
		if err != nil {
			return peak
		}
		peak = max(peak, int64(float64(now-before)/time.Since(at).Seconds()))
		before, at = now, time.Now()
	}
	return peak
}

// settle waits until every member has everything that was published.
func (c *crowd) settle(ctx context.Context, r *report) error {
	err := c.until(ctx, "all have everything", func(m *member) bool { return m.last.Load() >= m.room.acked.Load() })
	for _, m := range c.members {
		r.refused += m.refused.Load()
		r.delivered += m.last.Load()
	}
	return err
}

func (r *report) print(w io.Writer) {
	took := slices.Max(r.whole)
	fmt.Fprintf(w, "%d members of %d groups, %d messages/s; all back after %.1f s, nothing missing\n",
		r.cfg.members, r.cfg.groups, r.cfg.rate, took.Seconds())
	fmt.Fprintf(w, "  connected again     %s\n", percentiles(r.back))
	fmt.Fprintf(w, "  and had everything  %s\n", percentiles(r.whole))
	fmt.Fprintf(w, "  upgrades refused    %d\n", r.refused)
	fmt.Fprintf(w, "  resumes, reads      %.0f, %.0f\n", r.storm.resumes, r.storm.reads)
	rate := func(c cost, d time.Duration) string {
		s := d.Seconds()
		return fmt.Sprintf("%.0f Redis commands/s; CPU of a core: two edges %.0f %%, history services %.0f %%, Redis %.0f %%",
			float64(c.commands)/s, 100*c.edges.Seconds()/s, 100*c.services.Seconds()/s, 100*c.redis.Seconds()/s)
	}
	fmt.Fprintf(w, "  before              %s\n", rate(r.calm, calmTime))
	fmt.Fprintf(w, "  during              %s; busiest 100 ms: %d commands/s\n", rate(r.storm, took), r.peak)
	fmt.Fprintf(w, "  largest             edge %d MiB, Redis %d MiB\n", r.storm.largestEdge>>20, r.storm.largestRedis>>20)
}

func percentiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(p float64) float64 { return all[int(p*float64(len(all)-1))].Seconds() }
	return fmt.Sprintf("p50 %.1f s, p99 %.1f s, max %.1f s", at(0.5), at(0.99), at(1))
}
