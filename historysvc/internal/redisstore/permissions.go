package redisstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Some group, to ask with what its keys are called.
const anyGroup group.Name = "/any"

// commands are all that the service and its scripts send, with keys and channels
// as it uses them. docs/redis.md has the user that may run just these.
func (s *Store) commands() [][]any {
	k := keysOf(anyGroup)
	all := [][]any{
		{"ping"},
		{"multi"},
		{"exec"},
		{"script", "load", "return 1"},
		{"evalsha", s.scripts.read.Hash(), 1, k.meta},
		{"lpush", k.list, "x"},
		{"rpush", k.pending, "x"},
		{"lpop", k.pending},
		{"llen", k.list},
		{"lrange", k.list, 0, 1},
		{"lindex", k.list, 0},
		{"lset", k.list, 0, "x"},
		{"ltrim", k.list, 0, 1},
		{"hset", k.meta, "x", "x"},
		{"hget", k.meta, "x"},
		{"hmget", k.meta, "x"},
		{"hexists", k.index0, "x"},
		{"hincrby", k.meta, "x", 1},
		{"hdel", edgeKey("x"), "x"},
		{"hscan", edgeKey("x"), 0},
		{"exists", k.meta},
		{"pexpire", k.list, 1},
		{"pttl", k.list},
		{"persist", k.list},
		{"unlink", k.links},
		{"rename", edgeKey("x"), edgeKey("x") + ":n"},
		{"zadd", edgesKey, 1, "x"},
		{"zrem", edgesKey, "x"},
		{"zrange", edgesKey, 0, -1},
		{"zremrangebyscore", edgesKey, 0, 1},
		{"sismember", blackKey(anyGroup), "x"},
		{"scard", blackKey(anyGroup)},
	}
	if s.cluster {
		all = append(all, []any{"spublish", k.channel, "x"}, []any{"ssubscribe", k.channel}, []any{"sunsubscribe", k.channel})
	} else {
		all = append(all, []any{"publish", k.channel, "x"}, []any{"subscribe", k.channel}, []any{"unsubscribe", k.channel})
	}
	if s.opts.Archive > 0 {
		all = append(all, []any{"xadd", s.archiveKey(anyGroup), "*", "x", "x"})
	}
	if s.opts.Acks.wanted() {
		all = append(all, s.opts.Acks.command())
	}
	return all
}

// checkPermissions names the commands that the user may not run. It needs
// Redis 7.
func (s *Store) checkPermissions(ctx context.Context) error {
	var words []any
	for _, c := range s.commands() {
		words = append(append(words, len(c)), c...)
	}
	denied, err := s.scripts.permissions.Eval(ctx, s.client, nil, words...).StringSlice()
	if fateOf(err) != done {
		return s.noAnswer(err)
	}
	if len(denied) > 0 {
		return fmt.Errorf("redis refuses us: the user may not run, on our keys and channels: %s (docs/redis.md)", strings.Join(denied, ", "))
	}
	return nil
}
