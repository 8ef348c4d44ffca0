package redisstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// How many places one call of cancel.lua overwrites.
	recallChunk = 64
	// How often a recall is tried when what it found has changed meanwhile.
	recallTries = 8
	// The longest ttl: 100 years.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// Recall implements history.Log.
func (s *Store) Recall(ctx context.Context, g group.Name, uuid string, limit history.Limit) error {
	if uuid == "" {
		return history.ErrNotFound
	}
	if !s.opts.Acks.wanted() { // else the wait costs more than a call, and nothing is to wait for what is not done
		if ok, err := s.recallIndexed(ctx, g, uuid, limit); ok || err != nil {
			return err
		}
	}
	for range recallTries {
		ok, err := s.tryRecall(ctx, g, uuid, limit)
		if ok || err != nil && fateOf(err) != epochChanged {
			return err
		}
	}
	return fmt.Errorf("%w: the message kept changing", history.ErrUnavailable)
}

// recallIndexed recalls a message that the index alone finds, in one call. It
// returns false if that cannot be told without a closer look: then nothing was
// done, and the message may also be unknown, or recalled already.
func (s *Store) recallIndexed(ctx context.Context, g group.Name, uuid string, limit history.Limit) (bool, error) {
	c := cancellation{group: g, uuid: uuid, limit: limit}
	ok, err := s.cancel(ctx, &c, nil, s.publish)
	if ok {
		s.stats.recalled.Inc()
	}
	return ok, err
}

// tryRecall returns false if something has changed between look-up and erasure.
func (s *Store) tryRecall(ctx context.Context, g group.Name, uuid string, limit history.Limit) (bool, error) {
	l, err := s.locate(ctx, g, uuid, nil)
	if err != nil {
		return false, err
	}
	if len(l.places) == 0 {
		return false, history.ErrNotFound
	}
	live := slices.DeleteFunc(slices.Clone(l.places), func(p place) bool { return p.recalled })
	if len(live) == 0 && s.opts.Acks.wanted() {
		// It may not be confirmed yet: the tombstone, written once more, will be.
		again := cancellation{group: g, uuid: uuid, epoch: l.epoch}
		return s.cancel(ctx, &again, l.places[:1], "")
	}
	if len(live) == 0 {
		return true, nil
	}
	if err := l.unknownTo(limit, live[0]); err != nil {
		return false, err
	}
	c := cancellation{group: g, uuid: uuid, epoch: l.epoch, target: max(0, live[0].seq), limit: limit}
	for len(live) > recallChunk {
		if ok, err := s.cancel(ctx, &c, live[:recallChunk], ""); !ok || err != nil {
			return false, err
		}
		live = live[recallChunk:]
	}
	ok, err := s.cancel(ctx, &c, live, s.publish)
	if ok {
		s.stats.recalled.Inc()
	}
	return ok, err
}

// unknownTo says what keeps p from being recalled within a limit when it does not
// stand where this service has stored it: it is older, or others have moved it, and the
// author and time that are kept for its place are those of another message.
func (l *location) unknownTo(limit history.Limit, p place) error {
	switch {
	case limit == (history.Limit{}) || p.seq == l.indexed:
		return nil
	case limit.Author != nil:
		return history.ErrNotAuthor
	default:
		return history.ErrTooLate
	}
}

// cancellation is one message that is being recalled.
type cancellation struct {
	group group.Name
	uuid  string
	// As the look-up found them; not set if cancel.lua is to look it up.
	epoch  string
	target int64
	limit  history.Limit
}

// Replies of cancel.lua that are refusals.
const (
	cancelNotAuthor = 2
	cancelTooLate   = 3
)

// cancel overwrites places, or, if there are none, the one that the index knows,
// and announces the recall if publish is a command.
func (s *Store) cancel(ctx context.Context, c *cancellation, places []place, publish string) (bool, error) {
	k, d := keysOf(c.group), uuidDigest(c.uuid)
	author, since := s.limits(c.limit)
	args := []any{
		c.epoch, c.target, c.uuid, packet.Tombstone(c.uuid), d[:], newLink(), s.opts.Cap, publish, author, since, s.opts.Archive,
	}
	for _, p := range places {
		args = append(args, p.seq, p.text)
	}
	keys := []string{k.list, k.meta, k.index0, k.index1, k.recalls, k.links}
	if s.opts.Acks.wanted() {
		keys = append(keys, k.pending)
	}
	if s.opts.Archive > 0 {
		keys = append(keys, s.archiveKey(c.group))
	}
	pending, reply, err := s.eval(ctx, c.group, script{Script: s.scripts.cancel, writes: true, confirmed: true}, keys, args...)
	if len(pending) > 0 {
		r := replyReader{reply: pending}
		s.announce(ctx, map[group.Name]int64{c.group: r.int()})
		return true, r.err
	}
	switch reply {
	case cancelNotAuthor:
		return false, history.ErrNotAuthor
	case cancelTooLate:
		return false, history.ErrTooLate
	}
	return reply == 1, err
}

// limits are the arguments 9 and 10 of cancel.lua.
func (s *Store) limits(l history.Limit) (author string, since int64) {
	if l.Author != nil {
		author = string(l.Author[:])
	}
	if l.Within > 0 {
		since = s.now().Add(-l.Within).Unix()
	}
	return author, since
}

// SetTTL implements history.Log. It counts from now for what is there, and
// from each message on for what will be. For a group without messages it is
// kept, as long as ttl and 20 minutes.
func (s *Store) SetTTL(ctx context.Context, g group.Name, ttl time.Duration) error {
	ttl = max(time.Millisecond, min(ttl, maxTTL))
	k := keysOf(g)
	_, _, err := s.eval(ctx, g, script{Script: s.scripts.ttl, writes: true}, k.all(),
		s.now().UnixMilli(), newEpoch(), newLink(), ttl.Milliseconds())
	return err
}
