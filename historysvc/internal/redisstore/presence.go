package redisstore

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// An edge that has not reported for this long is forgotten. Edges report
	// every 2 s.
	presenceTTL = 5 * time.Second
	// How many groups one command names.
	presenceChunk = 500
)

// Report implements history.Presence. Readers see a full report all at once.
func (s *Store) Report(ctx context.Context, edge uint64, full bool, members map[group.Name]uint32) error {
	name := edgeName(edge)
	key := edgeKey(name)
	target := key
	if full {
		target = key + ":n"
	}
	_, err := command(ctx, func(ctx context.Context) (struct{}, error) {
		pipe := s.client.Pipeline()
		if full {
			pipe.Unlink(ctx, target)
		}
		reportMembers(ctx, pipe, target, members, full)
		if full && occupied(members) {
			pipe.Rename(ctx, target, key)
		} else if full {
			pipe.Unlink(ctx, key)
		}
		pipe.PExpire(ctx, key, presenceTTL)
		now := s.now().UnixMilli()
		pipe.ZAdd(ctx, edgesKey, redis.Z{Score: float64(now), Member: name})
		// Edges that never said good-bye. An hour forgives any clock.
		pipe.ZRemRangeByScore(ctx, edgesKey, "-inf", strconv.FormatInt(now-time.Hour.Milliseconds(), 10))
		_, err := pipe.Exec(ctx)
		return struct{}{}, err
	})
	return err
}

func occupied(members map[group.Name]uint32) bool {
	for _, n := range members {
		if n > 0 {
			return true
		}
	}
	return false
}

func reportMembers(ctx context.Context, pipe redis.Pipeliner, key string, members map[group.Name]uint32, full bool) {
	set := make([]any, 0, 2*presenceChunk)
	var gone []string
	for g, n := range members {
		if n == 0 {
			gone = append(gone, string(g))
		} else {
			set = append(set, string(g), n)
		}
		if len(set) == cap(set) {
			pipe.HSet(ctx, key, set...)
			set = make([]any, 0, 2*presenceChunk)
		}
		if len(gone) == presenceChunk && !full {
			pipe.HDel(ctx, key, gone...)
			gone = nil
		}
	}
	if len(set) > 0 {
		pipe.HSet(ctx, key, set...)
	}
	if len(gone) > 0 && !full {
		pipe.HDel(ctx, key, gone...)
	}
	// Should what follows be lost, nothing stays behind.
	pipe.PExpire(ctx, key, presenceTTL)
}

// Leave implements history.Presence.
func (s *Store) Leave(ctx context.Context, edge uint64) error {
	name := edgeName(edge)
	_, err := command(ctx, func(ctx context.Context) (struct{}, error) {
		pipe := s.client.Pipeline()
		pipe.Unlink(ctx, edgeKey(name))
		pipe.ZRem(ctx, edgesKey, name)
		_, err := pipe.Exec(ctx)
		return struct{}{}, err
	})
	return err
}

// Members implements history.Presence.
func (s *Store) Members(ctx context.Context) (map[group.Name]uint32, error) {
	edges, err := command(ctx, func(ctx context.Context) ([]string, error) {
		return s.client.ZRange(ctx, edgesKey, 0, -1).Result()
	})
	if err != nil {
		return nil, err
	}
	sum := make(map[group.Name]uint32)
	for _, name := range edges {
		counts, err := s.edgeMembers(ctx, edgeKey(name))
		if err != nil {
			return nil, err
		}
		for g, n := range counts {
			sum[g] = uint32(min(uint64(sum[g])+uint64(n), math.MaxUint32))
		}
	}
	return sum, nil
}

// edgeMembers reads one edge's counts, bit by bit.
func (s *Store) edgeMembers(ctx context.Context, key string) (map[group.Name]uint32, error) {
	counts := make(map[group.Name]uint32)
	for cursor := uint64(0); ; {
		var next uint64
		part, err := command(ctx, func(ctx context.Context) (part []string, err error) {
			part, next, err = s.client.HScan(ctx, key, cursor, "", presenceChunk).Result()
			return part, err
		})
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(part); i += 2 {
			n, err := strconv.ParseUint(part[i+1], 10, 32)
			if err == nil {
				counts[group.Name(part[i])] = uint32(n)
			}
		}
		if cursor = next; cursor == 0 {
			return counts, nil
		}
	}
}
