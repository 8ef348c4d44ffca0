package eventlog

import (
	"context"
	"slices"
	"strings"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// occurrence is a stored text with the uuid that was looked up. Its number is
// below 1 if others have pushed more to the list than there was before this
// service: numbers are counted from the newest.
type occurrence struct {
	seq      int64
	text     string
	recalled bool
}

// lookup is what a group knows of a uuid, at one moment.
type lookup struct {
	// As Redis keeps it; "" if the group has nothing.
	epoch string
	// The end of the stream; nil if the counters do not tell.
	end *stream.Position
	// The newest message, and the oldest that is retained.
	head, oldest int64
	// The number by the index; 0 if it does not know the uuid.
	indexed int64
	// The retained messages with the uuid, oldest first. More than one only if an
	// old list has it twice.
	occurrences []occurrence
}

// seq is the number of the message as it was first stored. It returns false if
// that is not known.
func (l *lookup) seq() (int64, bool) {
	if len(l.occurrences) > 0 {
		return l.occurrences[0].seq, true
	}
	return l.indexed, l.indexed != 0
}

// lookUp finds a uuid by the index, or among the remembered messages that are older than the
// index.
func (l *Log) lookUp(ctx context.Context, g group.Name, uuid string) (lookup, error) {
	k, d := layout.KeysOf(g), layout.UUIDDigest(uuid)
	r, err := l.eval(ctx, g, l.find, []string{k.List, k.Meta, k.Index0, k.Index1}, d[:])
	if err != nil || r.Len() == 0 {
		return lookup{}, err
	}
	found := lookup{epoch: r.Text(), head: r.Int()}
	if last := r.Texts(); len(last) == 2 {
		found.end = positionOf(found.epoch, found.head, last[0], last[1])
	}
	found.oldest = r.Int()
	unindexed := r.Int() // the index does not know all messages up to here
	found.indexed = r.Int()
	text := r.Text()
	if r.Err != nil {
		return lookup{}, r.Err
	}
	if text != "" {
		o, ok := match(found.indexed, text, uuid)
		if !ok {
			// Somebody else has changed the list: trust nothing.
			unindexed, found.indexed = found.head, 0
		} else if o.seq > unindexed {
			found.occurrences = append(found.occurrences, o)
		}
	}
	old, err := l.searchOld(ctx, g, &found, min(unindexed, found.head), uuid)
	found.occurrences = append(old, found.occurrences...)
	return found, err
}

// newReader returns a reader of the messages from one number to another.
func (l *lookup) newReader(log *Log, g group.Name, from, to int64, dir direction) *reader {
	seen := state{epoch: l.epoch, head: l.head, length: int(l.head - l.oldest + 1)}
	return log.newReader(g, &seen, from, to, dir)
}

// search looks at messages, oldest first.
func (l *Log) search(ctx context.Context, r *reader, uuid string) ([]occurrence, error) {
	var found []occurrence
	for r.more() {
		first, part, err := r.read(ctx, history.MaxPageSize)
		if err != nil {
			return nil, err
		}
		if len(part.texts) == 0 {
			break
		}
		for i, text := range part.texts {
			if o, ok := match(first+int64(i), text, uuid); ok {
				found = append(found, o)
			}
		}
	}
	return slices.Clip(found), nil
}

// match reports whether a stored text is the message with that uuid, or its
// tombstone.
func match(seq int64, text, uuid string) (occurrence, bool) {
	// The text contains the uuid as it is unless something is escaped.
	if !strings.Contains(text, uuid) && !strings.Contains(text, `\`) {
		return occurrence{}, false
	}
	if layout.UUIDOf(text) != uuid {
		return occurrence{}, false
	}
	_, recalled := packet.ParseTombstone(text)
	return occurrence{seq, text, recalled}, true
}
