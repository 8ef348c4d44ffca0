// Package presence keeps how many members each group has on each edge.
package presence

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// TTL is how long an edge is remembered after its last report. Edges report
	// every 2 s.
	TTL = 5 * time.Second
	// How many groups one command names.
	chunk = 500
)

// Group names begin with a slash, so these keys cannot collide with theirs.
//
//	$$/presence/$$edges     zset  edge -> Unix time, ms, of its last report
//	$$/presence/$${EDGE}    hash  group -> members; lives for TTL
//	$$/presence/$${EDGE}:n  hash  the next one, while a full report is written
const (
	// EdgesKey lists the edges.
	EdgesKey   = "$$/presence/$$edges"
	nextSuffix = ":n"
)

// EdgeKey is the key of an edge's counts.
func EdgeKey(edge string) string { return "$$/presence/$${" + edge + "}" }

// EdgeName is how an edge is called in keys.
func EdgeName(edge uint64) string { return strconv.FormatUint(edge, 16) }

// Presence implements history.Presence. Its methods are safe for concurrent use.
type Presence struct{ conn *redisconn.Conn }

// New makes a Presence.
func New(conn *redisconn.Conn) *Presence { return &Presence{conn} }

// Report implements history.Presence. Readers see a full report all at once.
func (p *Presence) Report(ctx context.Context, edge uint64, full bool, members map[group.Name]uint32) error {
	name := EdgeName(edge)
	key := EdgeKey(name)
	target := key
	if full {
		target = key + nextSuffix
	}
	return p.write(ctx, func(ctx context.Context, pipe redis.Pipeliner) {
		if full {
			pipe.Unlink(ctx, target)
		}
		reportMembers(ctx, pipe, target, members, full)
		if full && occupied(members) {
			pipe.Rename(ctx, target, key)
		} else if full {
			pipe.Unlink(ctx, key)
		}
		pipe.PExpire(ctx, key, TTL)
		now := time.Now().UnixMilli()
		pipe.ZAdd(ctx, EdgesKey, redis.Z{Score: float64(now), Member: name})
		// Edges that never said good-bye. An hour forgives any clock.
		pipe.ZRemRangeByScore(ctx, EdgesKey, "-inf", strconv.FormatInt(now-time.Hour.Milliseconds(), 10))
	})
}

// write runs a pipeline that may run twice.
func (p *Presence) write(ctx context.Context, queue func(context.Context, redis.Pipeliner)) error {
	_, err := redisconn.Retry(ctx, p.conn, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.conn.Exec(ctx, func(pipe redis.Pipeliner) { queue(ctx, pipe) })
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
	set := make([]any, 0, 2*chunk)
	var gone []string
	for g, n := range members {
		if n == 0 {
			gone = append(gone, string(g))
		} else {
			set = append(set, string(g), n)
		}
		if len(set) == cap(set) {
			pipe.HSet(ctx, key, set...)
			set = make([]any, 0, 2*chunk)
		}
		if len(gone) == chunk && !full {
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
	pipe.PExpire(ctx, key, TTL)
}

// Leave implements history.Presence.
func (p *Presence) Leave(ctx context.Context, edge uint64) error {
	name := EdgeName(edge)
	return p.write(ctx, func(ctx context.Context, pipe redis.Pipeliner) {
		pipe.Unlink(ctx, EdgeKey(name))
		pipe.ZRem(ctx, EdgesKey, name)
	})
}

// Members implements history.Presence.
func (p *Presence) Members(ctx context.Context) (map[group.Name]uint32, error) {
	edges, err := redisconn.Retry(ctx, p.conn, func(ctx context.Context) ([]string, error) {
		return p.conn.Client().ZRange(ctx, EdgesKey, 0, -1).Result()
	})
	if err != nil {
		return nil, err
	}
	sum := make(map[group.Name]uint32)
	for _, name := range edges {
		counts, err := p.edgeMembers(ctx, EdgeKey(name))
		if err != nil {
			return nil, err
		}
		for g, n := range counts {
			sum[g] = uint32(min(uint64(sum[g])+uint64(n), math.MaxUint32))
		}
	}
	return sum, nil
}

// MembersOf implements history.Census.
func (p *Presence) MembersOf(ctx context.Context, g group.Name) (uint32, error) {
	return redisconn.Retry(ctx, p.conn, func(ctx context.Context) (uint32, error) {
		edges, err := p.conn.Client().ZRange(ctx, EdgesKey, 0, -1).Result()
		if err != nil || len(edges) == 0 {
			return 0, err
		}
		counts := make([]*redis.SliceCmd, len(edges))
		err = p.conn.Exec(ctx, func(pipe redis.Pipeliner) {
			for i, name := range edges {
				counts[i] = pipe.HMGet(ctx, EdgeKey(name), string(g))
			}
		})
		if err != nil {
			return 0, err
		}
		var sum uint64
		for _, cmd := range counts {
			values, err := cmd.Result()
			if err != nil {
				return 0, err
			}
			if text, ok := values[0].(string); ok {
				n, _ := strconv.ParseUint(text, 10, 32) // what others wrote there counts as 0
				sum += n
			}
		}
		return uint32(min(sum, math.MaxUint32)), nil
	})
}

// Edges implements history.Census. An edge that has not reported for a while has no
// counts any more, and is left out.
func (p *Presence) Edges(ctx context.Context, most int) ([]history.Edge, error) {
	since := strconv.FormatInt(time.Now().Add(-TTL).UnixMilli(), 10)
	names, err := redisconn.Retry(ctx, p.conn, func(ctx context.Context) ([]string, error) {
		return p.conn.Client().ZRangeByScore(ctx, EdgesKey, &redis.ZRangeBy{Min: since, Max: "+inf", Count: int64(most)}).Result()
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	edges := make([]history.Edge, len(names))
	for i, name := range names {
		counts, err := p.edgeMembers(ctx, EdgeKey(name))
		if err != nil {
			return nil, err
		}
		edges[i] = history.Edge{ID: name, Groups: len(counts)}
		for _, n := range counts {
			edges[i].Members += uint64(n)
		}
	}
	return edges, nil
}

// edgeMembers reads one edge's counts, bit by bit.
func (p *Presence) edgeMembers(ctx context.Context, key string) (map[group.Name]uint32, error) {
	counts := make(map[group.Name]uint32)
	for cursor := uint64(0); ; {
		var next uint64
		part, err := redisconn.Retry(ctx, p.conn, func(ctx context.Context) (part []string, err error) {
			part, next, err = p.conn.Client().HScan(ctx, key, cursor, "", chunk).Result()
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
