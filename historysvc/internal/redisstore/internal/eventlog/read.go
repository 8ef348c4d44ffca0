package eventlog

import (
	"context"
	"slices"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// What one Read returns at most, about: an append may have to wait for it.
const (
	readItems = 256
	readBytes = 256 << 10
)

// Read implements history.Log.
func (l *Log) Read(ctx context.Context, g group.Name, start history.Start) (history.Batch, error) {
	p, ok, err := l.readAfter(ctx, g, start)
	if err != nil {
		return history.Batch{}, err
	}
	if !ok {
		// What was asked for cannot be had without a hole.
		if p, err = l.readRetained(ctx, g, start.IfLost); err != nil {
			return history.Batch{}, err
		}
	}
	b, err := p.batch()
	b.Gap = !ok
	return b, err
}

// readAfter reads after start. It returns false if start is not a place in this
// history from which everything is retained.
func (l *Log) readAfter(ctx context.Context, g group.Name, start history.Start) (piece, bool, error) {
	switch after := start.After; {
	case start.Newest > 0:
		p, err := l.readNewest(ctx, g, start.Newest)
		return p, true, err
	case start.AfterUUID != "":
		return l.readAfterUUID(ctx, g, start.AfterUUID)
	case after.Epoch == 0:
		p, err := l.readPiece(ctx, g, "base", "", stream.Position{})
		return p, p.valid || p.head == stream.Position{}, err
	default:
		p, err := l.readPiece(ctx, g, "at", layout.FormatEpoch(after.Epoch), after)
		return p, p.follows(after), err
	}
}

// readRetained reads what is retained, or the end of it.
func (l *Log) readRetained(ctx context.Context, g group.Name, from history.Fallback) (piece, error) {
	if from == history.FromOldest {
		return l.readPiece(ctx, g, "oldest", "", stream.Position{})
	}
	return l.readNewest(ctx, g, max(0, int(from)))
}

// readNewest reads the newest n messages, and the changes after the first of them.
func (l *Log) readNewest(ctx context.Context, g group.Name, n int) (piece, error) {
	return l.readPiece(ctx, g, "newest", "", stream.Position{Seq: uint64(n)})
}

func (l *Log) readAfterUUID(ctx context.Context, g group.Name, uuid string) (piece, bool, error) {
	found, err := l.lookUp(ctx, g, uuid)
	if redisconn.OutcomeOf(err) == redisconn.Changed {
		return piece{}, false, nil
	}
	seq, known := found.seq()
	if err != nil || !known || seq < 1 {
		return piece{}, false, err
	}
	p, err := l.readPiece(ctx, g, "uuid", found.epoch, stream.Position{Seq: uint64(seq)})
	// The number of changes before the message is certain only if there were
	// none, or the last of them is still known.
	return p, p.valid && (p.start.Changes == 0 || p.change != ""), err
}

// piece is what read.lua returns.
type piece struct {
	// The end of the stream; the zero Position if the group has nothing.
	head stream.Position
	// start is a place from which everything is retained.
	valid bool
	start stream.Position // without link
	// What the store knows of the start: the entry of the message there, and
	// of the change; "" if nothing.
	entry, change string
	// The messages after start, oldest first, with their entries.
	texts, entries []string
	// The changes after start, newest first.
	changes []string
}

func (l *Log) readPiece(ctx context.Context, g group.Name, from, epoch string, at stream.Position) (piece, error) {
	end, err := l.beginRead(ctx, g)
	if err != nil {
		return piece{}, err
	}
	defer end()
	k := layout.KeysOf(g)
	willWait := 0
	if l.conn.Acks().Wanted() {
		willWait = 1
	}
	r, err := l.eval(ctx, g, l.read, []string{k.List, k.Meta, k.Links, k.Changes},
		from, epoch, at.Seq, at.Changes, readItems, readBytes, willWait)
	if err != nil || r.Len() == 0 {
		return piece{}, err
	}
	var p piece
	if p.head.Epoch, err = layout.ParseEpoch(r.Text()); err != nil {
		return piece{}, err
	}
	p.head.Seq, p.head.Changes, p.head.Link = uint64(r.Int()), uint64(r.Int()), layout.ParseLink(r.Text())
	p.valid = r.Int() == 1
	p.start = stream.Position{Epoch: p.head.Epoch, Seq: uint64(r.Int()), Changes: uint64(r.Int())}
	p.entry, p.change = r.Text(), r.Text()
	p.texts, p.entries, p.changes = r.Texts(), r.Texts(), r.Texts()
	return p, r.Err
}

// follows reports whether after is the start of p in this very history, and not
// just in one with the same numbers.
func (p *piece) follows(after stream.Position) bool {
	if !p.valid {
		return false
	}
	link, ok := p.link()
	return ok && link == after.Link
}

// link is that of the last event before start, 0 if it is not known any more, as
// for messages from before this service. It returns false if what the store knows
// contradicts itself: then start is not a place in this history.
func (p *piece) link() (stream.Link, bool) {
	if p.start.Seq == p.head.Seq && p.start.Changes == p.head.Changes {
		return p.head.Link, true
	}
	if p.start.Changes > 0 {
		if p.change == "" {
			return 0, false
		}
		last, err := layout.ParseChange(p.change, p.start.Changes)
		if err != nil || last.Seq > p.start.Seq {
			return 0, false
		}
		if last.Seq == p.start.Seq {
			return last.Link, p.nextChangeFits()
		}
	}
	return layout.ParseLink(p.entry), p.nextChangeFits()
}

// nextChangeFits reports whether the first change after start does not belong
// before it.
func (p *piece) nextChangeFits() bool {
	if len(p.changes) == 0 {
		return true
	}
	next, err := layout.ParseChange(p.changes[len(p.changes)-1], p.start.Changes+1)
	return err == nil && next.Seq >= p.start.Seq
}

// batch puts messages and changes into the one order of the stream, and links
// each to its predecessor.
func (p *piece) batch() (history.Batch, error) {
	at := p.start
	at.Link, _ = p.link()
	b := history.Batch{Epoch: p.head.Epoch, Events: slices.Grow([]stream.Event(nil), len(p.texts)+len(p.changes))}
	rest := *p
	for {
		e, err := rest.next(at)
		if err != nil {
			return history.Batch{}, err
		}
		if e.Kind == 0 {
			b.Position = at
			b.More = at.Seq != p.head.Seq || at.Changes != p.head.Changes
			return b, nil
		}
		e.Prev = at.Link
		at.Link = e.Link
		if e.Kind == stream.Recall {
			at.Changes = e.Changes
		} else {
			at.Seq = e.Seq
		}
		b.Events = append(b.Events, e)
	}
}

// next takes the event after a position off p; the zero Event if p has no more.
func (p *piece) next(at stream.Position) (stream.Event, error) {
	if n := len(p.changes) - 1; n >= 0 {
		change, err := layout.ParseChange(p.changes[n], at.Changes+1)
		if err != nil || change.Seq <= at.Seq { // it comes before the next message
			p.changes = p.changes[:n]
			return change, err
		}
	} else if at.Changes != p.head.Changes {
		// Where the next change belongs is not in this piece.
		return stream.Event{}, nil
	}
	if len(p.texts) == 0 {
		return stream.Event{}, nil
	}
	e := message(at.Seq+1, p.texts[0], p.entries[0])
	p.texts, p.entries = p.texts[1:], p.entries[1:]
	return e, nil
}

// message is the event of a stored text; entry is "" for messages from before
// this service whose links are not kept.
func message(seq uint64, text, entry string) stream.Event {
	kept := layout.ParseEntry(entry)
	e := stream.Event{Kind: stream.Message, Seq: seq, Link: kept.Link, Origin: kept.Origin}
	if uuid, ok := packet.ParseTombstone(text); ok {
		e.Kind, e.UUID = stream.Tombstone, uuid
	} else {
		e.Payload, e.At, e.By = []byte(validText(text)), kept.At, kept.By
	}
	return e
}
