package eventlog

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// headsChunk is how many groups one pipeline asks for.
	headsChunk = 512
	// Our keys outlive a group's history by slack to 2*slack, as append.lua has it.
	slack = 10 * time.Minute
	// If asked for once a second, a group's keys are renewed every renewEvery
	// seconds: at least twice within slack. Which second is the group's own, so
	// that nothing must be remembered.
	renewEvery = 256
)

// Heads implements history.Bus. The head of a list that has not been adopted
// yet is the zero Position.
func (l *Log) Heads(ctx context.Context, groups []group.Name) []history.Head {
	heads := make([]history.Head, 0, len(groups))
	for len(groups) > 0 {
		n := min(len(groups), headsChunk)
		heads = append(heads, l.headsOf(ctx, groups[:n])...)
		groups = groups[n:]
	}
	return heads
}

func (l *Log) headsOf(ctx context.Context, groups []group.Name) []history.Head {
	ctx, cancel := redisconn.Bound(ctx, redisconn.CallTimeout)
	defer cancel()
	cmds := make([]*redis.SliceCmd, len(groups))
	l.conn.ExecEach(ctx, func(pipe redis.Pipeliner) {
		for i, g := range groups {
			k := layout.KeysOf(g)
			cmds[i] = pipe.HMGet(ctx, k.Meta, "epoch", "seq", "changes", "link", "ttl")
		}
	})
	heads := make([]history.Head, len(groups))
	renewals := make(map[group.Name]time.Duration)
	for i, cmd := range cmds {
		var ttl time.Duration
		heads[i], ttl = headOf(cmd)
		if ttl > 0 && l.renewalDue(groups[i]) {
			renewals[groups[i]] = ttl
		}
	}
	if len(renewals) > 0 {
		l.renew(ctx, renewals)
	}
	return heads
}

// headOf reads a reply. ttl is how long the history lives after its last
// message; 0: forever.
func headOf(cmd *redis.SliceCmd) (head history.Head, ttl time.Duration) {
	counters, err := cmd.Result()
	if err != nil {
		return history.Head{Err: redisconn.ReadError(err)}, 0
	}
	r := redisconn.NewReply(counters)
	if r.Nil() { // the group has no counters
		return history.Head{}, 0
	}
	epoch, err := layout.ParseEpoch(r.Text())
	head.Position = stream.Position{Epoch: epoch, Seq: uint64(r.Int()), Changes: uint64(r.Int()), Link: layout.ParseLink(r.Text())}
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return history.Head{Err: fmt.Errorf("counters of a group: %w", err)}, 0
	}
	if !r.Nil() { // groups that never had a ttl have no such field
		ttl = time.Duration(r.Int()) * time.Millisecond
	}
	return head, ttl
}

func (l *Log) renewalDue(g group.Name) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g)) // it has no errors
	return h.Sum32()%renewEvery == uint32(l.opts.Now().Unix()%renewEvery)
}

// renew lets the keys of followed groups live on, all but the history itself. If it
// fails, the next renewal comes in time.
func (l *Log) renew(ctx context.Context, ttls map[group.Name]time.Duration) {
	l.conn.ExecEach(ctx, func(pipe redis.Pipeliner) {
		for g, ttl := range ttls {
			k := layout.KeysOf(g)
			for _, key := range k.All()[1:] {
				pipe.PExpire(ctx, key, ttl+2*slack)
			}
		}
	})
}
