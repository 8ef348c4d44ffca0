package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// The version of a page (history.Page.Version) is a digest of the query and of
// the group's state. The state is read in one transaction with the first part of
// the page, and a page whose later parts are not of that state has no version. That
// excludes two mistakes: an old page under a new version, which would pass for
// the present one from then on; and a page of a future that a failover then cuts
// off under a version from before it, which that failover would bring back.

// versionBytes is the length of a version before it is made text. Finding two
// states with the same one gains nobody anything.
const versionBytes = 16

// state is what decides what pages of a group show.
type state struct {
	// The group has counters.
	adopted bool
	length  int
	// The epoch, as Redis keeps it, and the number of the newest message.
	epoch string
	head  int64
	// The end of the stream; nil if the counters do not tell.
	position *stream.Position
	// Differs after each overwriting of stored messages.
	overwritten string
	// What a version is made of; nil if that was not read.
	facts []byte
}

// oldest is the number of the oldest message that is retained.
func (s *state) oldest() int64 { return s.head - int64(s.length) + 1 }

// stateCommands read the state.
type stateCommands struct {
	counters *redis.SliceCmd
	length   *redis.IntCmd
	newest   *redis.StringCmd // nil if there is to be no version
}

// queueState queues the commands. The counters change with everything that this
// service does: seq with messages, changes with recalls, overwrites with what a
// recall overwrites before it is counted; and the link tells the two histories of a
// failover apart. Length and newest element show what others did, and that the list
// expired. The newest element is for versions only.
func queueState(ctx context.Context, pipe redis.Pipeliner, k *layout.Keys, versioned bool) stateCommands {
	c := stateCommands{
		counters: pipe.HMGet(ctx, k.Meta, "epoch", "seq", "changes", "overwrites", "link"),
		length:   pipe.LLen(ctx, k.List),
	}
	if versioned {
		c.newest = pipe.LIndex(ctx, k.List, 0)
	}
	return c
}

// state is the state that the commands have read.
func (c *stateCommands) state() (state, error) {
	counters, countersErr := c.counters.Result()
	length, lengthErr := c.length.Result()
	if err := redisconn.FirstError(countersErr, lengthErr); err != nil {
		return state{}, err
	}
	s := state{adopted: len(counters) > 0 && counters[0] != nil, length: int(length)}
	if c.newest != nil {
		newest, err := c.newest.Result()
		if redisconn.OutcomeOf(err) != redisconn.Done {
			return state{}, err
		}
		s.facts = factsOf(counters, length, newest)
	}
	if !s.adopted {
		s.position = new(stream.Position)
		return s, nil
	}
	r := redisconn.NewReply(counters)
	s.epoch, s.head = r.Text(), r.Int()
	s.position = positionOf(counters[0], counters[1], counters[2], counters[4])
	s.overwritten = fmt.Sprint(counters[2], ",", counters[3])
	return s, r.Err
}

// positionOf returns the position that the counters tell: epoch, seq, changes and link; nil
// if they are damaged.
func positionOf(counters ...any) *stream.Position {
	r := redisconn.NewReply(counters)
	epoch, err := layout.ParseEpoch(r.Text())
	at := stream.Position{Epoch: epoch, Seq: uint64(r.Int()), Changes: uint64(r.Int()), Link: layout.ParseLink(r.Text())}
	if err != nil || r.Err != nil {
		return nil
	}
	return &at
}

func factsOf(counters []any, length int64, newest string) []byte {
	b := make([]byte, 0, 128+len(newest))
	for _, v := range counters {
		text, _ := v.(string)
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return append(binary.AppendVarint(b, length), newest...)
}

// stateOf reads nothing but the state.
func (l *Log) stateOf(ctx context.Context, g group.Name) (state, error) {
	k := layout.KeysOf(g)
	return redisconn.Retry(ctx, l.conn, func(ctx context.Context) (state, error) {
		var now stateCommands
		if err := l.conn.ExecAtomic(ctx, func(pipe redis.Pipeliner) { now = queueState(ctx, pipe, &k, true) }); err != nil {
			return state{}, err
		}
		return now.state()
	})
}

// version is that of a page by position in this state.
func (s *state) version(q history.Query) string {
	digest := sha256.Sum256(s.facts)
	b := append(make([]byte, 0, len(digest)+3*binary.MaxVarintLen64), digest[:]...)
	b = binary.AppendVarint(b, int64(q.Position))
	b = binary.AppendVarint(b, int64(q.Size))
	b = binary.AppendVarint(b, int64(q.MaxBytes))
	if q.Meta {
		b = append(b, 'm')
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:versionBytes])
}
