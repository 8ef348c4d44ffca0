package redisstore

import (
	"context"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// What one Read returns at most, about.
const (
	readItems = 1000
	readBytes = 1 << 20
)

// Read implements history.Log.
func (s *Store) Read(ctx context.Context, g group.Name, start history.Start) (history.Batch, error) {
	p, ok, err := s.readFrom(ctx, g, start)
	if err != nil {
		return history.Batch{}, err
	}
	if !ok {
		// What was asked for cannot be had without a hole.
		if p, err = s.readPiece(ctx, g, "oldest", "", stream.Position{}); err != nil {
			return history.Batch{}, err
		}
	}
	b, err := p.batch()
	b.Gap = !ok
	return b, err
}

// readFrom reads after start. It returns false if start is not a place in this
// history from which everything is retained.
func (s *Store) readFrom(ctx context.Context, g group.Name, start history.Start) (piece, bool, error) {
	switch after := start.After; {
	case start.AfterUUID != "":
		return s.readAfterUUID(ctx, g, start.AfterUUID)
	case after.Epoch == 0:
		p, err := s.readPiece(ctx, g, "base", "", stream.Position{})
		return p, p.valid || p.head == stream.Position{}, err
	default:
		p, err := s.readPiece(ctx, g, "at", formatEpoch(after.Epoch), after)
		return p, p.follows(after), err
	}
}

func (s *Store) readAfterUUID(ctx context.Context, g group.Name, uuid string) (piece, bool, error) {
	l, err := s.locate(ctx, g, uuid, nil)
	if fateOf(err) == epochChanged {
		return piece{}, false, nil
	}
	seq, known := l.seq()
	if err != nil || !known || seq < 1 {
		return piece{}, false, err
	}
	p, err := s.readPiece(ctx, g, "uuid", l.epoch, stream.Position{Seq: uint64(seq)})
	// The number of recalls before the message is certain only if there were
	// none, or the last of them is still known.
	return p, p.valid && (p.start.Recalls == 0 || p.recall != ""), err
}

// piece is what read.lua returns.
type piece struct {
	// The end of the stream; the zero Position if the group has nothing.
	head stream.Position
	// start is a place from which everything is retained.
	valid bool
	start stream.Position // without link
	// What the store knows of the start: the entry of the message there, and
	// of the recall; "" if nothing.
	entry, recall string
	// The messages after start, oldest first, with their entries.
	texts, entries []string
	// The recalls after start, newest first.
	recalls []string
}

func (s *Store) readPiece(ctx context.Context, g group.Name, from, epoch string, at stream.Position) (piece, error) {
	k := keysOf(g)
	reply, _, err := s.eval(ctx, g, script{Script: s.scripts.read, confirmed: true},
		[]string{k.list, k.meta, k.links, k.recalls},
		from, epoch, at.Seq, at.Recalls, readItems, readBytes, flag(s.opts.Acks.wanted()))
	if err != nil || reply == nil {
		return piece{}, err
	}
	r := replyReader{reply: reply}
	var p piece
	if p.head.Epoch, err = parseEpoch(r.text()); err != nil {
		return piece{}, err
	}
	p.head.Seq, p.head.Recalls, p.head.Link = uint64(r.int()), uint64(r.int()), parseLink(r.text())
	p.valid = r.int() == 1
	p.start = stream.Position{Epoch: p.head.Epoch, Seq: uint64(r.int()), Recalls: uint64(r.int())}
	p.entry, p.recall = r.text(), r.text()
	p.texts, p.entries, p.recalls = r.texts(), r.texts(), r.texts()
	return p, r.err
}

// follows says whether after is the start of p in this very history, and not
// just in one with the same numbers.
func (p *piece) follows(after stream.Position) bool {
	if !p.valid {
		return false
	}
	link, ok := p.link()
	return ok && link == after.Link
}

// link is that of the last event before start, 0 where it is not known any
// more, which is so for messages that were there before this service. It
// returns false if what the store knows contradicts itself: then start is not
// a place in this history.
func (p *piece) link() (stream.Link, bool) {
	if p.start.Seq == p.head.Seq && p.start.Recalls == p.head.Recalls {
		return p.head.Link, true
	}
	if p.start.Recalls > 0 {
		if p.recall == "" {
			return 0, false
		}
		last, err := parseRecall(p.recall, p.start.Recalls)
		if err != nil || last.Seq > p.start.Seq {
			return 0, false
		}
		if last.Seq == p.start.Seq {
			return last.Link, p.nextRecallFits()
		}
	}
	return parseLink(p.entry), p.nextRecallFits()
}

// nextRecallFits says that the first recall after start does not belong before
// it.
func (p *piece) nextRecallFits() bool {
	if len(p.recalls) == 0 {
		return true
	}
	next, err := parseRecall(p.recalls[len(p.recalls)-1], p.start.Recalls+1)
	return err == nil && next.Seq >= p.start.Seq
}

// batch puts messages and recalls into the one order of the stream, and links
// each to its predecessor.
func (p *piece) batch() (history.Batch, error) {
	at := p.start
	at.Link, _ = p.link()
	b := history.Batch{Epoch: p.head.Epoch}
	messages, recalls := 0, len(p.recalls)
	for {
		var e stream.Event
		switch {
		case recalls > 0:
			r, err := parseRecall(p.recalls[recalls-1], at.Recalls+1)
			if err != nil {
				return history.Batch{}, err
			}
			if r.Seq <= at.Seq {
				// It comes before the next message.
				recalls--
				e = r
				break
			}
			fallthrough
		case at.Recalls == p.head.Recalls:
			if messages == len(p.texts) {
				return p.end(b, at), nil
			}
			e = message(at.Seq+1, p.texts[messages], p.entries[messages])
			messages++
		default:
			// What the next recall belongs to is not in this piece.
			return p.end(b, at), nil
		}
		e.Prev = at.Link
		at.Link = e.Link
		if e.Kind == stream.Recall {
			at.Recalls = e.Recalls
		} else {
			at.Seq = e.Seq
		}
		b.Events = append(b.Events, e)
	}
}

func (p *piece) end(b history.Batch, at stream.Position) history.Batch {
	b.Position = at
	b.More = at.Seq != p.head.Seq || at.Recalls != p.head.Recalls
	return b
}

// message is the event of a stored text; entry is "" for messages from before
// this service that are out of its memory.
func message(seq uint64, text, entry string) stream.Event {
	e := stream.Event{Kind: stream.Message, Seq: seq, Link: parseLink(entry)}
	if len(entry) >= 20 {
		e.Origin = parseOrigin([]byte(entry[4:20]))
	}
	if uuid, ok := packet.ParseTombstone(text); ok {
		e.Kind, e.UUID = stream.Tombstone, uuid
	} else {
		e.Payload = []byte(validText(text))
	}
	return e
}
