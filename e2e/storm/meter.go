package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// cost is what the system has used so far.
type cost struct {
	at                        time.Time
	edges, services, redis    time.Duration // CPU
	commands                  int64         // that Redis has executed
	resumes, reads, refusals  float64       // of the edges that live on
	largestEdge, largestRedis int64         // peak of resident memory, bytes
}

// minus is what was used since before; peaks stay.
func (c cost) minus(before cost) cost {
	c.edges -= before.edges
	c.services -= before.services
	c.redis -= before.redis
	c.commands -= before.commands
	c.resumes -= before.resumes
	c.reads -= before.reads
	c.refusals -= before.refusals
	return c
}

// measure asks all processes but the first edge.
func (b *bed) measure(ctx context.Context) (c cost, err error) {
	c.at = time.Now()
	for _, e := range b.edges[1:] {
		used, peak, err := process(e.Process.PID())
		if err != nil {
			return c, err
		}
		c.edges += used
		c.largestEdge = max(c.largestEdge, peak)
		if err := e.scrape(ctx, &c); err != nil {
			return c, err
		}
	}
	for _, s := range b.services {
		used, _, err := process(s.PID())
		if err != nil {
			return c, err
		}
		c.services += used
	}
	if c.redis, c.largestRedis, err = process(b.redis.Nodes[0].PID()); err != nil {
		return c, err
	}
	c.commands, err = b.commands(ctx)
	return c, err
}

// process returns the CPU time and the peak of resident memory of a process.
func process(pid int) (used time.Duration, peak int64, err error) {
	used, err = testbed.CPU(pid)
	if err != nil {
		return 0, 0, err
	}
	peak, err = testbed.PeakMemory(pid)
	return used, peak, err
}

// commands is how many commands Redis has executed.
func (b *bed) commands(ctx context.Context) (int64, error) {
	info, err := b.redis.Client.Info(ctx, "stats").Result()
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(info, "total_commands_processed:")
	if !ok {
		return 0, fmt.Errorf("redis tells of no commands: %q", info)
	}
	n, _, _ := strings.Cut(rest, "\r")
	return strconv.ParseInt(n, 10, 64)
}

// scrape adds an edge's own figures.
func (e *edge) scrape(ctx context.Context, c *cost) error {
	m, err := testbed.Metrics(ctx, e.ops)
	if err != nil {
		return err
	}
	c.resumes += m["gotapi_edge_resumes_total"]
	c.reads += m["gotapi_edge_resume_reads_total"]
	c.refusals += m[`gotapi_edge_refused_upgrades_total{reason="rate"}`]
	return nil
}
