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
func (s *Store) Recall(ctx context.Context, g group.Name, uuid string) error {
	if uuid == "" {
		return history.ErrNotFound
	}
	for range recallTries {
		ok, err := s.tryRecall(ctx, g, uuid)
		if ok || err != nil && fateOf(err) != epochChanged {
			return err
		}
	}
	return fmt.Errorf("%w: the message kept changing", history.ErrUnavailable)
}

// tryRecall returns false if something has changed between look-up and erasure.
func (s *Store) tryRecall(ctx context.Context, g group.Name, uuid string) (bool, error) {
	l, err := s.locate(ctx, g, uuid)
	if err != nil {
		return false, err
	}
	if len(l.places) == 0 {
		return false, history.ErrNotFound
	}
	live := slices.DeleteFunc(l.places, func(p place) bool { return p.recalled })
	if len(live) == 0 {
		return true, nil
	}
	target := live[0].seq
	for len(live) > recallChunk {
		if ok, err := s.cancel(ctx, g, uuid, l.epoch, target, live[:recallChunk], ""); !ok || err != nil {
			return false, err
		}
		live = live[recallChunk:]
	}
	ok, err := s.cancel(ctx, g, uuid, l.epoch, target, live, s.publish)
	if ok {
		s.stats.recalled.Inc()
	}
	return ok, err
}

// cancel overwrites places, and announces the recall if publish is a command.
func (s *Store) cancel(ctx context.Context, g group.Name, uuid, epoch string, target uint64, places []place, publish string) (bool, error) {
	k, d := keysOf(g), uuidDigest(uuid)
	args := []any{epoch, target, uuid, packet.Tombstone(uuid), d[:], newLink(), s.opts.Cap, publish}
	for _, p := range places {
		args = append(args, p.seq, p.text)
	}
	_, ok, err := s.eval(ctx, g, script{s.scripts.cancel, true},
		[]string{k.list, k.meta, k.index0, k.index1, k.recalls}, args...)
	return ok == 1, err
}

// SetTTL implements history.Log. It counts from now for what is there, and
// from each message on for what will be. For a group without messages it is
// kept, as long as ttl and 20 minutes.
func (s *Store) SetTTL(ctx context.Context, g group.Name, ttl time.Duration) error {
	ttl = max(time.Millisecond, min(ttl, maxTTL))
	k := keysOf(g)
	_, _, err := s.eval(ctx, g, script{s.scripts.ttl, true}, k.all(),
		s.now().UnixMilli(), newEpoch(), newLink(), ttl.Milliseconds())
	return err
}
