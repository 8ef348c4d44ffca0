package redisstore

import (
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/presence"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// commands are what the store and its scripts send, with keys and channels as it
// uses them, for one group. docs/redis.md has the user that may run just these.
func commands(conn *redisconn.Conn, archive bool) [][]any {
	const anyGroup group.Name = "/any"
	k, edge := layout.KeysOf(anyGroup), presence.EdgeKey("x")
	all := [][]any{
		{"eval", "x", 1, k.Meta},
		{"evalsha", "x", 1, k.Meta},
		{"lpush", k.List, "x"},
		{"rpush", k.Pending, "x"},
		{"lpop", k.Pending},
		{"llen", k.List},
		{"lrange", k.List, 0, 1},
		{"lindex", k.List, 0},
		{"lset", k.List, 0, "x"},
		{"ltrim", k.List, 0, 1},
		{"hset", k.Meta, "x", "x"},
		{"hget", k.Meta, "x"},
		{"hmget", k.Meta, "x"},
		{"hexists", k.Index0, "x"},
		{"hincrby", k.Meta, "x", 1},
		{"hdel", edge, "x"},
		{"hscan", edge, 0},
		{"pexpire", k.List, 1},
		{"exists", k.Meta},
		{"pttl", k.List},
		{"persist", k.List},
		{"unlink", k.Links},
		{"rename", edge, edge + ":n"},
		{"zadd", presence.EdgesKey, 1, "x"},
		{"zrem", presence.EdgesKey, "x"},
		{"zrange", presence.EdgesKey, 0, -1},
		{"zrangebyscore", presence.EdgesKey, 0, 1},
		{"zremrangebyscore", presence.EdgesKey, 0, 1},
		{"sismember", layout.OldRecallsKey(anyGroup), "x"},
		{"scard", layout.OldRecallsKey(anyGroup)},
		{"type", k.Meta},
		{"scan", 0},
		{"memory", "usage", k.List},
	}
	if conn.Cluster() {
		all = append(all, []any{"spublish", k.Channel, "x"}, []any{"ssubscribe", k.Channel}, []any{"sunsubscribe", k.Channel})
	} else {
		all = append(all, []any{"publish", k.Channel, "x"}, []any{"subscribe", k.Channel}, []any{"unsubscribe", k.Channel})
	}
	if archive {
		all = append(all, []any{"xadd", layout.ArchiveKey(anyGroup, conn.Cluster()), "*", "x", "x"})
	}
	return all
}
