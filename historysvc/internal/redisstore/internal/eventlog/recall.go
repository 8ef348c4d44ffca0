package eventlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// How many texts one call of recall.lua overwrites.
	recallChunk = 64
	// How often a recall is tried when what it found has changed meanwhile.
	recallTries = 8
)

// Recall implements history.Log.
func (l *Log) Recall(ctx context.Context, g group.Name, uuid string, limit history.Limit, by stream.Author) error {
	if uuid == "" {
		return history.ErrNotFound
	}
	// The index alone may find it, in one call. If that takes a closer look, nothing was done,
	// and it may also be unknown, or recalled already.
	if !l.conn.Acks().Wanted() { // else the wait costs more than a call, and there may be nothing to wait for
		if ok, err := l.overwrite(ctx, &recall{group: g, uuid: uuid, limit: limit, by: by}, nil, true); ok || err != nil {
			return err
		}
	}
	for range recallTries {
		ok, err := l.tryRecall(ctx, g, uuid, limit, by)
		if ok || err != nil && redisconn.OutcomeOf(err) != redisconn.Changed {
			return err
		}
	}
	return fmt.Errorf("%w: the message kept changing", history.ErrUnavailable)
}

// tryRecall returns false if something has changed between look-up and erasure.
func (l *Log) tryRecall(ctx context.Context, g group.Name, uuid string, limit history.Limit, by stream.Author) (bool, error) {
	found, err := l.lookUp(ctx, g, uuid)
	if err != nil {
		return false, err
	}
	if len(found.occurrences) == 0 {
		return false, history.ErrNotFound
	}
	live := slices.DeleteFunc(slices.Clone(found.occurrences), func(o occurrence) bool { return o.recalled })
	r := recall{group: g, uuid: uuid, by: by, epoch: found.epoch}
	switch {
	case len(live) > 0:
	case l.conn.Acks().Wanted():
		// It may not be confirmed yet: the tombstone, written once more, will be.
		return l.overwrite(ctx, &r, found.occurrences[:1], false)
	default:
		return true, nil
	}
	if err := found.refuses(limit, live[0]); err != nil {
		return false, err
	}
	r.target, r.limit = max(0, live[0].seq), limit
	for len(live) > recallChunk {
		if ok, err := l.overwrite(ctx, &r, live[:recallChunk], false); !ok || err != nil {
			return false, err
		}
		live = live[recallChunk:]
	}
	return l.overwrite(ctx, &r, live, true)
}

// refuses returns why o may not be recalled within a limit if it is not where this
// service has stored it: it is older, or others have moved it, and the author and
// time that are kept for its number are those of another message.
func (l *lookup) refuses(limit history.Limit, o occurrence) error {
	switch {
	case limit == (history.Limit{}) || o.seq == l.indexed:
		return nil
	case limit.Author != nil:
		return history.ErrNotAuthor
	default:
		return history.ErrTooLate
	}
}

// recall is one message that is being recalled.
type recall struct {
	group group.Name
	uuid  string
	by    stream.Author
	// As the look-up found them; not set if recall.lua is to look it up.
	epoch  string
	target int64
	limit  history.Limit
}

// Replies of recall.lua.
const (
	recallDone      = 1
	recallNotAuthor = 2
	recallTooLate   = 3
)

// overwrite makes texts tombstones; without any, the one that the index knows. The
// last call of a recall counts and announces it.
func (l *Log) overwrite(ctx context.Context, c *recall, texts []occurrence, last bool) (bool, error) {
	k, d := layout.KeysOf(c.group), layout.UUIDDigest(c.uuid)
	publish := ""
	if last {
		publish = l.conn.PublishCommand()
	}
	options, now := l.opts.of(c.group), l.opts.Now().UnixMilli()
	front, back := layout.ChangeParts(layout.NewLink(), layout.RecallKind, now, options.nameKept(c.by), c.uuid)
	author, since := bounds(c.limit, now)
	args := []any{
		c.epoch, c.target, c.uuid, packet.Tombstone(c.uuid), d[:], front, back, options.Cap, publish, author, since, l.opts.Archive,
	}
	for _, o := range texts {
		args = append(args, o.seq, o.text)
	}
	keys := k.All()
	if l.conn.Acks().Wanted() {
		keys = append(keys, k.Pending)
	}
	if l.opts.Archive > 0 {
		keys = append(keys, layout.ArchiveKey(c.group, l.conn.Cluster()))
	}
	r, err := l.eval(ctx, c.group, l.recall, keys, args...)
	if err != nil {
		return false, err
	}
	switch result := r.Int(); {
	case result == recallNotAuthor:
		return false, history.ErrNotAuthor
	case result == recallTooLate:
		return false, history.ErrTooLate
	case result != recallDone || r.Err != nil:
		return false, r.Err
	}
	if r.Len() > 0 {
		l.announcer.announce(ctx, map[group.Name]int64{c.group: r.Int()})
	}
	if last {
		l.recalled.Inc()
	}
	return true, r.Err
}

// bounds are the arguments 10 and 11 of recall.lua.
func bounds(limit history.Limit, now int64) (author string, since int64) {
	if limit.Author != nil {
		author = string(limit.Author[:])
	}
	if limit.Within > 0 {
		since = now - limit.Within.Milliseconds()
	}
	return author, since
}
