package redisconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Acks are what a write needs, beyond the master's answer, before its sender gets
// the ack and members the message. The zero Acks need nothing.
//
// A write without it in time stays stored, and its outcome is unknown. It is
// retried until its deadline, finds itself stored, and waits again; the sender's
// own resend does the same. Members get it once it is confirmed: with the next
// write to the group, or through a follower that is behind and reads the store.
type Acks struct {
	// How many replicas must have executed it (WAIT).
	Replicas Replicas
	// It must be on the master's disk, and on those of the replicas (WAITAOF).
	Fsync bool
	// How long that may take; 0: what fits.
	Timeout time.Duration
}

// The timeouts of Acks that have none.
const (
	// DefaultAckTimeout is for replicas, or for the disk of the master.
	DefaultAckTimeout = time.Second
	// SlowAckTimeout is for the disks of replicas, which report them once in a second.
	SlowAckTimeout = 3 * time.Second
)

// Replicas is a number of replicas, or AllReplicas.
type Replicas int

// AllReplicas are those that Sentinels or the Cluster know, also when some are down, and
// at least one.
const AllReplicas Replicas = -1

// MarshalText implements encoding.TextMarshaler.
func (r Replicas) MarshalText() ([]byte, error) {
	if r == AllReplicas {
		return []byte("all"), nil
	}
	return strconv.AppendInt(nil, int64(r), 10), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Replicas) UnmarshalText(text []byte) error {
	if string(text) == "all" {
		*r = AllReplicas
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return errors.New("want all, or a number from 0 to 255")
	}
	*r = Replicas(n)
	return nil
}

// Wanted reports whether writes need more than the master's answer.
func (a Acks) Wanted() bool { return a.Replicas != 0 || a.Fsync }

// timeout is Timeout, or what fits; 0 if acks wait for nothing.
func (a Acks) timeout() time.Duration {
	switch {
	case !a.Wanted():
		return 0
	case a.Timeout == 0 && a.Fsync && a.Replicas != 0:
		return SlowAckTimeout
	default:
		return cmp.Or(a.Timeout, DefaultAckTimeout)
	}
}

// command returns the command that waits for all earlier writes of its connection.
func (a Acks) command(replicas int) []any {
	if a.Fsync {
		return []any{"waitaof", 1, replicas, a.Timeout.Milliseconds()}
	}
	return []any{"wait", replicas, a.Timeout.Milliseconds()}
}

// unconfirmedError is the error of a command that was executed, but not confirmed as Acks
// require.
type unconfirmedError struct{ why string }

func (e unconfirmedError) Error() string { return "executed, but not confirmed: " + e.why }

// judge returns an error if the answer to command does not confirm a write.
func (a Acks) judge(replicas int, reply any, err error) error {
	if err != nil {
		return unconfirmedError{err.Error()}
	}
	if !a.Fsync {
		if n, _ := reply.(int64); n < int64(replicas) {
			return unconfirmedError{fmt.Sprintf("%d of %d replicas have it within %v", n, replicas, a.Timeout)}
		}
		return nil
	}
	r := NewReply(reply)
	local, remote := r.Int(), r.Int()
	if r.Err != nil || local < 1 || remote < int64(replicas) {
		return unconfirmedError{fmt.Sprintf("%d of 1 master and %d of %d replicas have it on disk within %v",
			local, remote, replicas, a.Timeout)}
	}
	return nil
}

// confirmation are the Acks of a Conn, with what the masters have said.
type confirmation struct {
	// From settle on they have a timeout.
	acks Acks
	// With AllReplicas: how many each master has, by address.
	known atomic.Pointer[map[string]int]
}

// settle returns an error if the servers cannot confirm as the Acks require. It is called
// once, before the first confirmation.
func (c *confirmation) settle(masters []master) error {
	a := &c.acks
	if !a.Wanted() {
		return nil
	}
	a.Timeout = a.timeout()
	for _, m := range masters {
		if a.Replicas == AllReplicas && m.addr == "" && m.replicas == unknownCount {
			return fmt.Errorf("%w: no Sentinel reports the number of replicas, which -ack-replicas all requires", errUnreachable)
		}
		if err := m.confirmsFsync(); a.Fsync && err != nil {
			return err
		}
	}
	return nil
}

// confirmsFsync returns an error if a master cannot confirm that a write is on its disk.
// With appendfsync everysec each ack would take a second. Some servers (Valkey 8.1, Redis
// 7.4.0 to 7.4.2: https://github.com/redis/redis/pull/13793) would then confirm writes that
// are not yet on the disk.
func (m *master) confirmsFsync() error {
	p := ProductOf(m.info)
	switch {
	case m.info["aof_enabled"] == "0":
		return errors.New("redis has no append-only file: -ack-fsync requires appendonly yes")
	case m.waitaof != nil && strings.Contains(m.waitaof.Error(), "unknown command"):
		return fmt.Errorf("%s %s has no WAITAOF: -ack-fsync requires Redis 7.2 or later, or Valkey", p.Name, p.Version)
	case m.waitaof != nil && isMaster(m.info):
		return fmt.Errorf("redis refuses WAITAOF, which -ack-fsync requires: %w", m.waitaof)
	case m.appendfsync == "" && isMaster(m.info):
		return errors.New("cannot read redis's appendfsync, which -ack-fsync requires: allow the user +config|get")
	case m.appendfsync != "always":
		return fmt.Errorf("redis has appendfsync %s: -ack-fsync requires appendfsync always", m.appendfsync)
	}
	return nil
}

// learn updates how many replicas the masters have. Unknown numbers stay as they were.
func (c *confirmation) learn(masters []master) {
	before, now := c.known.Load(), make(map[string]int, len(masters))
	for _, m := range masters {
		now[m.addr] = m.replicas
		if m.replicas == unknownCount && before != nil {
			now[m.addr] = (*before)[m.addr]
		}
	}
	c.known.Store(&now)
}

// replicas returns how many replicas of the master at addr acks wait for. A master that
// has just become one may have as many as any other.
func (c *confirmation) replicas(addr string) int {
	if c.acks.Replicas != AllReplicas {
		return int(c.acks.Replicas)
	}
	most := 1
	if known := c.known.Load(); known != nil {
		if n, ok := (*known)[addr]; ok {
			return max(most, n)
		}
		for _, n := range *known {
			most = max(most, n)
		}
	}
	return most
}

// fewest is the least of replicas.
func (c *confirmation) fewest(masters []master) int {
	least := c.replicas(masters[0].addr)
	for _, m := range masters {
		least = min(least, c.replicas(m.addr))
	}
	return least
}

// warnings returns, for operators, what acks of these masters do not promise or wait for.
func (c *confirmation) warnings(masters []master) (all []string) {
	for _, m := range masters {
		wanted := c.replicas(m.addr)
		if n, err := strconv.Atoi(m.info["connected_slaves"]); err == nil && n < wanted {
			all = append(all, fmt.Sprintf("%d replicas are connected and acks wait for %d: no message is acked until more connect", n, wanted))
		}
		if wanted > 0 && wanted < m.replicas {
			all = append(all, fmt.Sprintf("acks wait for %d of %d replicas: if another one becomes master, acked messages are lost; -ack-replicas all prevents that", wanted, m.replicas))
		}
		if err := m.confirmsFsync(); c.acks.Fsync && err != nil {
			all = append(all, err.Error())
		}
	}
	return all
}

// confirmer is a hook of the connections to one node. Behind the confirmed
// commands of a pipeline it sends one command that waits, on the connection that
// wrote: Redis counts what this very connection has written. A pipeline to a
// Cluster is one per node when it comes here, also when a slot has moved.
type confirmer struct {
	plainHook
	*confirmation
	// The node's, as in master.
	addr string
}

// ProcessPipelineHook implements redis.Hook.
func (c confirmer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !slices.ContainsFunc(cmds, isConfirmed) {
			return next(ctx, cmds)
		}
		replicas := c.replicas(c.addr)
		wait := NewCommand(ctx, CallCommand, 0, c.acks.command(replicas)...)
		err := next(ctx, append(slices.Clip(cmds), wait))
		reply, failure := wait.Result()
		if short := c.acks.judge(replicas, reply, failure); short != nil {
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
	c, ok := cmd.(Command)
	return ok && c.confirmed
}

// confirm makes all connections of client, from now on, wait as Acks say.
func (c *confirmation) confirm(client redis.UniversalClient) {
	if !c.acks.Wanted() {
		return
	}
	switch client := client.(type) {
	case *redis.ClusterClient:
		client.OnNewNode(func(node *redis.Client) { node.AddHook(confirmer{confirmation: c, addr: node.Options().Addr}) })
	default:
		client.AddHook(confirmer{confirmation: c})
	}
}
