package redisstore

import (
	"context"
	"crypto/md5" //nolint:gosec // what the old server used to name texts
	"encoding/hex"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// searchChunk is how many elements of a list are looked at in one round trip
// of a search.
const searchChunk = 512

// adopt makes the counters of a list that was there before this service. First
// the messages that the old server had recalled are erased: it kept their texts
// and hid them. Several processes may adopt the same list at once.
func (s *Store) adopt(ctx context.Context, g group.Name) error {
	select {
	case s.adopting <- struct{}{}:
		defer func() { <-s.adopting }()
	case <-ctx.Done():
		return domainError(notDone, ctx.Err())
	}
	if err := s.eraseBlack(ctx, g); err != nil {
		return err
	}
	k := keysOf(g)
	_, ok, err := s.eval(ctx, g, script{Script: s.scripts.adopt, writes: true}, k.all(), s.now().UnixMilli(), newEpoch(), newLink())
	if err == nil && ok == 1 {
		s.stats.adopted.Inc()
		s.log.Info("list adopted", "group", g)
	}
	return err
}

// eraseBlack overwrites the messages of the list that are named in the old
// server's set. Places are counted from the oldest message, so that appends do
// not move them.
func (s *Store) eraseBlack(ctx context.Context, g group.Name) error {
	black, k := blackKey(g), keysOf(g)
	marked, err := command(ctx, func(ctx context.Context) (int64, error) { return s.client.SCard(ctx, black).Result() })
	if err != nil || marked == 0 {
		return err
	}
	for at := int64(0); ; at += searchChunk {
		texts, err := command(ctx, func(ctx context.Context) ([]string, error) {
			return s.client.LRange(ctx, k.list, -at-searchChunk, -at-1).Result()
		})
		if err != nil || len(texts) == 0 {
			return err
		}
		recalled, err := s.members(ctx, black, texts)
		if err != nil {
			return err
		}
		var args []any
		for i, text := range texts {
			if recalled[i] {
				args = append(args, -at-int64(len(texts)-i), text, packet.Tombstone(uuidOf(text)))
			}
		}
		if len(args) == 0 {
			continue
		}
		_, ok, err := s.eval(ctx, g, script{Script: s.scripts.erase, writes: true}, []string{k.list, k.meta}, args...)
		if err != nil || ok == 0 {
			return err
		}
	}
}

// members says which texts are named in the old server's set.
func (s *Store) members(ctx context.Context, black string, texts []string) ([]bool, error) {
	return command(ctx, func(ctx context.Context) ([]bool, error) {
		pipe := s.client.Pipeline()
		cmds := make([]*redis.BoolCmd, len(texts))
		for i, text := range texts {
			sum := md5.Sum([]byte(text)) //nolint:gosec // see the import
			cmds[i] = pipe.SIsMember(ctx, black, hex.EncodeToString(sum[:]))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
		found := make([]bool, len(texts))
		for i, cmd := range cmds {
			found[i] = cmd.Val()
		}
		return found, nil
	})
}

// uuidOf returns the uuid of a stored text: that of a data packet, or that
// which a tombstone names; "" if it has none.
func uuidOf(text string) string {
	if uuid, ok := packet.ParseTombstone(text); ok {
		return uuid
	}
	if p := packet.Classify([]byte(text)); p.Kind == packet.Data {
		return p.UUID
	}
	return ""
}
