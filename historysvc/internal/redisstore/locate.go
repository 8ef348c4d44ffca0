package redisstore

import (
	"context"
	"slices"
	"strings"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// place is where a uuid stands. Its number is below 1 if others have pushed more to
// the list than there was before this service: numbers are counted from the newest.
type place struct {
	seq      int64
	text     string
	recalled bool
}

// location is all that a group knows of a uuid, at one moment.
type location struct {
	// As Redis keeps it; "" if the group has nothing.
	epoch string
	// The newest message, and the oldest that is retained.
	head, oldest int64
	// What the index says; 0 if it does not know the uuid.
	indexed int64
	// Where it stands among the retained messages, oldest first. More than one
	// only if an old list has it twice.
	places []place
}

// seq is the place of the message: where it was first stored. It returns false if
// that is not known.
func (l *location) seq() (int64, bool) {
	if len(l.places) > 0 {
		return l.places[0].seq, true
	}
	return l.indexed, l.indexed != 0
}

// locate finds a uuid, in states that w, which may be nil, is told: by the index,
// and, where the index does not reach, by a search. It costs one round trip and one
// more per searchChunk messages that were there before this service.
func (s *Store) locate(ctx context.Context, g group.Name, uuid string, w *witness) (location, error) {
	k, d := keysOf(g), uuidDigest(uuid)
	reply, _, err := s.eval(ctx, g, script{Script: s.scripts.find, witness: w},
		[]string{k.list, k.meta, k.index0, k.index1}, d[:])
	if err != nil || reply == nil {
		return location{}, err
	}
	r := replyReader{reply: reply}
	l := location{epoch: r.text(), head: r.int(), oldest: r.int()}
	unindexed := r.int()
	l.indexed = r.int()
	text := r.text()
	if r.err != nil {
		return location{}, r.err
	}
	if text != "" {
		p, ok := match(l.indexed, text, uuid)
		if !ok {
			// Somebody else has changed the list: trust nothing.
			unindexed, l.indexed = l.head, 0
		} else if p.seq > unindexed {
			l.places = append(l.places, p)
		}
	}
	old, err := s.search(ctx, g, l.epoch, l.oldest, min(unindexed, l.head), uuid, w)
	l.places = append(old, l.places...)
	return l, err
}

// search looks at the messages from one number to another, oldest first.
func (s *Store) search(ctx context.Context, g group.Name, epoch string, from, to int64, uuid string, w *witness) ([]place, error) {
	var found []place
	for from <= to {
		part, err := s.slice(ctx, g, epoch, from, to, searchChunk, callBytes, w)
		if err != nil {
			return nil, err
		}
		if len(part.texts) == 0 {
			break
		}
		for i, text := range part.texts {
			if p, ok := match(part.first+int64(i), text, uuid); ok {
				found = append(found, p)
			}
		}
		from = part.first + int64(len(part.texts))
	}
	return slices.Clip(found), nil
}

// match says whether a stored text is the message with that uuid, or its
// tombstone.
func match(seq int64, text, uuid string) (place, bool) {
	// A uuid stands there as it is unless something in the text is escaped.
	if !strings.Contains(text, uuid) && !strings.Contains(text, `\`) {
		return place{}, false
	}
	if uuidOf(text) != uuid {
		return place{}, false
	}
	_, recalled := packet.ParseTombstone(text)
	return place{seq, text, recalled}, true
}

// part is what slice.lua returns.
type part struct {
	// Of the first element, and of the newest message.
	first, head int64
	texts       []string
}

// slice reads messages by number, towards to, which may be the smaller.
func (s *Store) slice(ctx context.Context, g group.Name, epoch string, from, to int64, count, bytes int, w *witness) (part, error) {
	k := keysOf(g)
	reply, _, err := s.eval(ctx, g, script{Script: s.scripts.slice, witness: w}, []string{k.list, k.meta},
		epoch, from, to, count, bytes)
	if err != nil {
		return part{}, err
	}
	r := replyReader{reply: reply}
	p := part{first: r.int(), head: r.int()}
	if r.err != nil {
		return part{}, r.err
	}
	p.texts = r.rest()
	return p, nil
}
