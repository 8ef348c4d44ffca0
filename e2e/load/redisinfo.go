package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisMeter asks Redis what it has used.
type redisMeter struct{ client *redis.Client }

// redisUse is what Redis has used since it started.
type redisUse struct {
	cpu time.Duration // user and system, of the process
	// In commands: of scripts, which includes the commands that they call, and of
	// all commands but EVAL and EVALSHA.
	scripts, commands time.Duration
	memory, rss       int64 // bytes: as the allocator counts, and resident
}

func (m redisMeter) read(ctx context.Context) (redisUse, error) {
	text, err := m.client.Info(ctx, "cpu", "memory", "commandstats").Result()
	if err != nil {
		return redisUse{}, err
	}
	return parseUse(text)
}

// parseUse reads the answer to INFO cpu memory commandstats.
func parseUse(text string) (u redisUse, err error) {
	number := func(s string) float64 {
		n, failed := strconv.ParseFloat(s, 64)
		if failed != nil && err == nil {
			err = fmt.Errorf("INFO of Redis: %w", failed)
		}
		return n
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "used_cpu_user", name == "used_cpu_sys":
			u.cpu += time.Duration(number(value) * float64(time.Second))
		case name == "used_memory":
			u.memory = int64(number(value))
		case name == "used_memory_rss":
			u.rss = int64(number(value))
		case strings.HasPrefix(name, "cmdstat_"):
			_, usec, _ := strings.Cut(value, "usec=")
			usec, _, _ = strings.Cut(usec, ",")
			took := time.Duration(number(usec)) * time.Microsecond
			if strings.HasPrefix(name, "cmdstat_eval") {
				u.scripts += took
			} else if name != "cmdstat_info" {
				u.commands += took
			}
		}
	}
	if u.memory == 0 || u.cpu == 0 {
		return u, fmt.Errorf("INFO of Redis tells neither memory nor CPU: %.60q", text)
	}
	return u, err
}

// since is what was used after an earlier look. Memory is the difference, too.
func (u redisUse) since(v redisUse) redisUse {
	return redisUse{u.cpu - v.cpu, u.scripts - v.scripts, u.commands - v.commands, u.memory - v.memory, u.rss - v.rss}
}

// executing is how long Redis was inside commands: CPU without what sockets cost.
func (u redisUse) executing() time.Duration {
	if u.scripts > 0 {
		return u.scripts
	}
	return u.commands
}
