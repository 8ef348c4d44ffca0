package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Acks say what a write needs, beyond the master's word, before anybody hears of
// it: its sender gets the ack, and members the message, only then. The zero Acks
// need nothing.
//
// A write that does not get it in time stays stored, and its outcome is unknown.
// It is tried again until its deadline, finds itself stored, and waits anew; the
// sender's own resend does the same. Members get it as soon as it has what it
// needs: with the next write to the group, or by a follower that finds itself
// behind and reads the store.
type Acks struct {
	// How many replicas must have executed it (WAIT).
	Replicas int
	// It must be on the master's disk, and on those of the replicas (WAITAOF,
	// from Redis 7.2 on).
	Fsync bool
	// How long that may take.
	Timeout time.Duration
}

// DefaultAckTimeout is that of Acks that have none.
const DefaultAckTimeout = time.Second

func (a Acks) wanted() bool { return a.Replicas > 0 || a.Fsync }

// command is what waits for all that its connection has written.
func (a Acks) command() []any {
	if a.Fsync {
		return []any{"waitaof", 1, a.Replicas, a.Timeout.Milliseconds()}
	}
	return []any{"wait", a.Replicas, a.Timeout.Milliseconds()}
}

// unconfirmedError is the error of a command that was executed, but did not get
// what Acks say.
type unconfirmedError struct{ why string }

func (e unconfirmedError) Error() string { return "executed, but not confirmed: " + e.why }

// judge says what is wrong with the answer to command; nil if nothing is.
func (a Acks) judge(reply any, err error) error {
	if err != nil {
		return unconfirmedError{err.Error()}
	}
	if !a.Fsync {
		if n, _ := reply.(int64); n < int64(a.Replicas) {
			return unconfirmedError{fmt.Sprintf("%d of %d replicas have it within %v", n, a.Replicas, a.Timeout)}
		}
		return nil
	}
	r := replyReader{reply: asSlice(reply)}
	local, replicas := r.int(), r.int()
	if r.err != nil || local < 1 || replicas < int64(a.Replicas) {
		return unconfirmedError{fmt.Sprintf("%d of 1 disk of the master and %d of %d disks of replicas have it within %v",
			local, replicas, a.Replicas, a.Timeout)}
	}
	return nil
}

// check says why a server cannot do what Acks need; nil if it can. warning is
// for the operator: at the moment it would ack nothing.
func (a Acks) check(info map[string]string) (warning string, err error) {
	if a.Fsync {
		if !atLeast(info["redis_version"], 7, 2) {
			return "", fmt.Errorf("redis %s has no WAITAOF: acks after fsync need 7.2 or later", info["redis_version"])
		}
		if info["aof_enabled"] == "0" {
			return "", errors.New("redis has no append-only file: acks after fsync need appendonly yes")
		}
	}
	if n, err := strconv.Atoi(info["connected_slaves"]); err == nil && n < a.Replicas && info["role"] != "slave" {
		return fmt.Sprintf("%d replicas are connected and acks wait for %d: nothing will be acked until more are", n, a.Replicas), nil
	}
	return "", nil
}

// atLeast compares a version such as 7.0.15.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	m, err1 := strconv.Atoi(parts[0])
	n, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (m > major || m == major && n >= minor)
}

// confirmed is a command whose answer counts when it has what Acks say. It
// travels in pipelines only.
type confirmed struct {
	once
	kind callKind
}

// confirmer is a hook of the connections to one node. Behind the confirmed
// commands of a pipeline it sends one command that waits, on the connection that
// wrote: Redis counts what this very connection has written. A pipeline to a
// Cluster is one per node when it comes here, also when a slot has moved.
type confirmer struct{ acks Acks }

// DialHook implements redis.Hook.
func (confirmer) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (confirmer) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (c confirmer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !slices.ContainsFunc(cmds, isConfirmed) {
			return next(ctx, cmds)
		}
		wait := once{redis.NewCmd(ctx, c.acks.command()...)}
		err := next(ctx, append(slices.Clip(cmds), wait))
		if short := c.acks.judge(wait.Result()); short != nil {
			for _, cmd := range cmds {
				if isConfirmed(cmd) && cmd.Err() == nil {
					cmd.SetErr(short)
				}
			}
		}
		return err
	}
}

func isConfirmed(cmd redis.Cmder) bool {
	_, ok := cmd.(confirmed)
	return ok
}

// confirm makes all connections of client, from now on, wait as Acks say.
func (a Acks) confirm(client redis.UniversalClient) {
	if !a.wanted() {
		return
	}
	if c, ok := client.(*redis.ClusterClient); ok {
		c.OnNewNode(func(node *redis.Client) { node.AddHook(confirmer{a}) })
		return
	}
	client.AddHook(confirmer{a})
}

// evalConfirmed is one attempt at a script whose answer counts when it is
// confirmed.
func (s *Store) evalConfirmed(ctx context.Context, c *redis.Script, keys []string, args []any) (any, error) {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", c.Hash(), len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	all = append(all, args...)
	return s.withScript(ctx, c, func() (any, error) {
		cmd := redis.NewCmd(ctx, all...)
		cmd.SetFirstKeyPos(3)
		pipe := s.client.Pipeline()
		_ = pipe.Process(ctx, confirmed{once{cmd}, callScript}) // only queues
		_, _ = pipe.Exec(ctx)                                   // cmd has the error
		return cmd.Result()
	})
}

// announce puts on the bus what groups have pending up to these numbers, now that
// it is confirmed, and with it all that was stored before. What gets lost here,
// followers find in the store.
//
// After a failover a replica may have payloads pending that its master had
// announced. Followers know messages and recalls by their place, so once more does
// no harm; broadcasts have none, so they never wait in Redis.
func (s *Store) announce(ctx context.Context, numbers map[group.Name]int64) {
	unknown := s.tryAnnounce(ctx, numbers)
	if len(unknown) > 0 && s.scripts.announce.Load(ctx, s.client).Err() == nil {
		s.tryAnnounce(ctx, unknown)
	}
}

// tryAnnounce returns what failed because the server does not know the script.
func (s *Store) tryAnnounce(ctx context.Context, numbers map[group.Name]int64) map[group.Name]int64 {
	pipe := s.client.Pipeline()
	sent := make(map[group.Name]*redis.Cmd, len(numbers))
	for g, n := range numbers {
		k := keysOf(g)
		sent[g] = s.scripts.announce.EvalSha(ctx, pipe, []string{k.meta, k.pending}, n, s.publish, k.channel)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	again := make(map[group.Name]int64)
	for g, cmd := range sent {
		if fateOf(cmd.Err()) == noScript {
			again[g] = numbers[g]
		}
	}
	return again
}

// announceBatches is announce for all that is done.
func (s *Store) announceBatches(ctx context.Context, batches []*batch) {
	numbers := make(map[group.Name]int64, len(batches))
	for _, b := range batches {
		if b.fate == done && b.pending > 0 {
			numbers[b.from.name] = b.pending
		}
	}
	if len(numbers) > 0 {
		s.announce(ctx, numbers)
	}
}
