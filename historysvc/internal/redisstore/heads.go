package redisstore

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// headsChunk is how many groups one pipeline asks for.
	headsChunk = 512
	// Our keys outlive a group's history by slack to 2*slack, as append.lua has it.
	slack = 10 * time.Minute
	// Asked for once a second, a group's keys are renewed every renewEvery
	// seconds: at least twice within slack. Which second is the group's own, so
	// that nobody has to remember.
	renewEvery = 256
)

// Heads implements history.Bus. The head of a list that has not been adopted
// yet is the zero Position.
func (s *Store) Heads(ctx context.Context, groups []group.Name) []history.Head {
	heads := make([]history.Head, 0, len(groups))
	for len(groups) > 0 {
		n := min(len(groups), headsChunk)
		heads = append(heads, s.headsOf(ctx, groups[:n])...)
		groups = groups[n:]
	}
	return heads
}

func (s *Store) headsOf(ctx context.Context, groups []group.Name) []history.Head {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pipe := s.client.Pipeline()
	cmds := make([]*redis.SliceCmd, len(groups))
	for i, g := range groups {
		cmds[i] = pipe.HMGet(ctx, keysOf(g).meta, "epoch", "seq", "recalls", "link", "exp")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error

	heads := make([]history.Head, len(groups))
	renewals := s.client.Pipeline()
	for i, cmd := range cmds {
		var expiry time.Duration
		heads[i], expiry = headOf(cmd)
		if expiry > 0 && s.renewalDue(groups[i]) {
			renew(ctx, renewals, groups[i], expiry)
		}
	}
	if renewals.Len() > 0 {
		_, _ = renewals.Exec(ctx) // the next one comes in time
	}
	return heads
}

// headOf reads a reply. expiry is how long the history lives after its last
// message; 0: for ever.
func headOf(cmd *redis.SliceCmd) (head history.Head, expiry time.Duration) {
	if err := cmd.Err(); err != nil {
		f := fateOf(err)
		if f == unknown {
			f = notDone // it only reads
		}
		return history.Head{Err: domainError(f, err)}, 0
	}
	r := replyReader{reply: cmd.Val()}
	if len(r.reply) == 5 && r.reply[0] == nil {
		return history.Head{}, 0
	}
	epoch, err := parseEpoch(r.text())
	head.Position = stream.Position{Epoch: epoch, Seq: uint64(r.int()), Recalls: uint64(r.int()), Link: parseLink(r.text())}
	if err == nil {
		err = r.err
	}
	if err != nil {
		return history.Head{Err: fmt.Errorf("counters of a group: %w", err)}, 0
	}
	if r.reply[0] != nil { // groups that never had a ttl have no such field
		expiry = time.Duration(r.int()) * time.Millisecond
	}
	return head, expiry
}

func (s *Store) renewalDue(g group.Name) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g)) // it has no errors
	return h.Sum32()%renewEvery == uint32(s.now().Unix()%renewEvery)
}

// renew lets the keys of a followed group live on, all but the history itself.
func renew(ctx context.Context, pipe redis.Pipeliner, g group.Name, expiry time.Duration) {
	k := keysOf(g)
	for _, key := range k.all()[1:] {
		pipe.PExpire(ctx, key, expiry+2*slack)
	}
}
