package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// The version of a page (history.Page.Version) is a digest of the query and of
// the group's state. The state is read in one transaction with the page. That
// excludes two mistakes: an old page under a new version, which would be taken for
// the present one from then on; and a page of a future that a failover then cuts
// off under a version from before it, which that failover would bring back.

// versionBytes is the length of a version before it is made text. Nobody gains
// anything by finding two states with the same one.
const versionBytes = 16

// state is a digest of all that decides what pages of a group show; the zero
// state is none.
type state [sha256.Size]byte

// sight is a look at the state, within a transaction.
type sight struct {
	counters *redis.SliceCmd
	length   *redis.IntCmd
	newest   *redis.StringCmd
}

// look queues the commands. The counters change with all that this service does:
// seq with messages, recalls with recalls, edits with what a recall overwrites before
// it is counted, and the link tells histories apart that a failover has made two
// of. Length and newest element show what others did, and that the list expired.
func look(ctx context.Context, pipe redis.Pipeliner, k *keys) sight {
	return sight{
		counters: pipe.HMGet(ctx, k.meta, "epoch", "seq", "recalls", "edits", "link"),
		length:   pipe.LLen(ctx, k.list),
		newest:   pipe.LIndex(ctx, k.list, 0),
	}
}

// adopted says whether the group has counters.
func (l *sight) adopted() bool {
	v := l.counters.Val()
	return len(v) > 0 && v[0] != nil
}

// state returns what was seen.
func (l *sight) state() (state, error) {
	for _, err := range []error{l.counters.Err(), l.length.Err(), l.newest.Err()} {
		if fateOf(err) != done {
			return state{}, err
		}
	}
	b := make([]byte, 0, 128+len(l.newest.Val()))
	for _, v := range l.counters.Val() {
		text, _ := v.(string)
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendVarint(b, l.length.Val())
	return sha256.Sum256(append(b, l.newest.Val()...)), nil
}

// version is that of a page in this state.
func (s state) version(q history.Query) string {
	b := make([]byte, 0, len(s)+3*binary.MaxVarintLen64+len(q.Before)+len(q.After))
	b = append(b, s[:]...)
	b = binary.AppendVarint(b, int64(q.Position))
	b = binary.AppendVarint(b, int64(q.Size))
	b = append(binary.AppendUvarint(b, uint64(len(q.Before))), q.Before...)
	b = append(b, q.After...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:versionBytes])
}

// stateOf reads nothing but the state.
func (s *Store) stateOf(ctx context.Context, g group.Name) (state, error) {
	k := keysOf(g)
	return command(ctx, func(ctx context.Context) (state, error) {
		pipe := s.client.TxPipeline()
		l := look(ctx, pipe, &k)
		_, _ = pipe.Exec(ctx) // each command has its own error
		return l.state()
	})
}

// witness notes the states in which the parts of a page are read. If they are one
// and the same, the page as a whole is of that state. The nil witness is nobody's:
// then states are not even read.
type witness struct {
	seen state
	torn bool
}

func (w *witness) saw(s state) {
	w.torn = w.torn || w.seen != state{} && w.seen != s
	w.seen = s
}

// version is "" if there is no one state.
func (w *witness) version(q history.Query) string {
	if w.torn || w.seen == (state{}) {
		return ""
	}
	return w.seen.version(q)
}

// evalSeen is one attempt at a script, the first key of which is the list of the
// group, with a look at the state in which it reads.
func (s *Store) evalSeen(ctx context.Context, c script, keys []string, args []any) (any, error) {
	k := keysOf(group.Name(keys[0]))
	return s.withScript(ctx, c.Script, func() (any, error) {
		pipe := s.client.TxPipeline()
		l := look(ctx, pipe, &k)
		cmd := c.EvalSha(ctx, pipe, keys, args...)
		_, _ = pipe.Exec(ctx) // each command has its own error
		return c.witness.attest(cmd, &l)
	})
}

// attest notes the state in which cmd has read, if it has.
func (w *witness) attest(cmd *redis.Cmd, l *sight) (any, error) {
	reply, err := cmd.Result()
	if fateOf(err) != done {
		return reply, err
	}
	now, err := l.state()
	if err != nil {
		return nil, err
	}
	w.saw(now)
	return reply, nil
}
