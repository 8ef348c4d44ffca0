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
)

const (
	// How many texts one call of recall.lua overwrites.
	recallChunk = 64
	// How often a recall is tried when what it found has changed meanwhile.
	recallTries = 8
)

// Recall implements history.Log.
func (l *Log) Recall(ctx context.Context, g group.Name, uuid string, limit history.Limit) error {
	if uuid == "" {
		return history.ErrNotFound
	}
	if !l.conn.Acks().Wanted() { // else the wait costs more than a call, and there may be nothing to wait for
		if ok, err := l.recallIndexed(ctx, g, uuid, limit); ok || err != nil {
			return err
		}
	}
	for range recallTries {
		ok, err := l.tryRecall(ctx, g, uuid, limit)
		if ok || err != nil && redisconn.OutcomeOf(err) != redisconn.Changed {
			return err
		}
	}
	return fmt.Errorf("%w: the message kept changing", history.ErrUnavailable)
}

// recallIndexed recalls a message that the index alone finds, in one call. It
// returns false if that takes a closer look: then nothing was done, and the message
// may also be unknown, or recalled already.
func (l *Log) recallIndexed(ctx context.Context, g group.Name, uuid string, limit history.Limit) (bool, error) {
	return l.overwrite(ctx, &recall{group: g, uuid: uuid, limit: limit}, nil, true)
}

// tryRecall returns false if something has changed between look-up and erasure.
func (l *Log) tryRecall(ctx context.Context, g group.Name, uuid string, limit history.Limit) (bool, error) {
	found, err := l.lookUp(ctx, g, uuid)
	if err != nil {
		return false, err
	}
	if len(found.occurrences) == 0 {
		return false, history.ErrNotFound
	}
	live := slices.DeleteFunc(slices.Clone(found.occurrences), func(o occurrence) bool { return o.recalled })
	r := recall{group: g, uuid: uuid, epoch: found.epoch}
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
	// As the look-up found them; not set if recall.lua looks the message up itself.
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
	author, since := l.bounds(c.limit)
	args := []any{
		c.epoch, c.target, c.uuid, packet.Tombstone(c.uuid), d[:], layout.NewLink(), l.opts.Cap, publish, author, since, l.opts.Archive,
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

// bounds are the arguments 9 and 10 of recall.lua.
func (l *Log) bounds(limit history.Limit) (author string, since int64) {
	if limit.Author != nil {
		author = string(limit.Author[:])
	}
	if limit.Within > 0 {
		since = l.opts.Now().Add(-limit.Within).Unix()
	}
	return author, since
}
