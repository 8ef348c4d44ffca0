package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// headsChunk is how many groups one pipeline asks for.
const headsChunk = 512

// Heads implements history.Bus. The head of a list that has not been adopted
// yet is the zero Position.
func (s *Store) Heads(ctx context.Context, groups []group.Name) ([]stream.Position, error) {
	heads := make([]stream.Position, 0, len(groups))
	for len(groups) > 0 {
		n := min(len(groups), headsChunk)
		part, err := command(ctx, func(ctx context.Context) ([]stream.Position, error) {
			return s.headsOf(ctx, groups[:n])
		})
		if err != nil {
			return nil, err
		}
		heads = append(heads, part...)
		groups = groups[n:]
	}
	return heads, nil
}

func (s *Store) headsOf(ctx context.Context, groups []group.Name) ([]stream.Position, error) {
	pipe := s.client.Pipeline()
	cmds := make([]*redis.SliceCmd, len(groups))
	for i, g := range groups {
		k := keysOf(g)
		cmds[i] = pipe.HMGet(ctx, k.meta, "epoch", "seq", "recalls", "link")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	heads := make([]stream.Position, len(groups))
	for i, cmd := range cmds {
		if cmd.Val()[0] == nil {
			continue
		}
		r := replyReader{reply: cmd.Val()}
		epoch, err := parseEpoch(r.text())
		if err != nil {
			return nil, err
		}
		heads[i] = stream.Position{Epoch: epoch, Seq: uint64(r.int()), Recalls: uint64(r.int()), Link: parseLink(r.text())}
		if r.err != nil {
			return nil, fmt.Errorf("counters of a group: %w", r.err)
		}
	}
	return heads, nil
}
