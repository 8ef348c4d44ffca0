package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// Page implements history.Log. More is set whenever older messages (with
// After: newer ones) follow what the page covers. Next is then the position of
// the first of them; it stays negative if q.Position was.
func (l *Log) Page(ctx context.Context, g group.Name, q history.Query) (history.Page, error) {
	q.Size, q.MaxBytes = min(q.Size, history.MaxPageSize), cmp.Or(q.MaxBytes, history.MaxPageBytes)
	switch {
	case q.Before != "":
		return l.pageFrom(ctx, g, q, older, l.startAt(q.Before))
	case q.After != "":
		return l.pageFrom(ctx, g, q, newer, l.startAt(q.After))
	case q.Seq != nil && q.Newer:
		return l.pageFrom(ctx, g, q, newer, l.startAtSeq(*q.Seq))
	case q.Seq != nil:
		return l.pageFrom(ctx, g, q, older, l.startAtSeq(*q.Seq))
	case q.Size <= 0:
		return history.Page{}, nil
	case q.Known != "":
		now, err := l.stateOf(ctx, g)
		if err == nil && now.version(q) == q.Known {
			return history.Page{Version: q.Known, Unmodified: true}, nil
		}
		if err != nil && redisconn.OutcomeOf(err) != redisconn.Refused {
			return history.Page{}, err
		}
	}
	w, err := l.window(ctx, g, q, true)
	if redisconn.OutcomeOf(err) == redisconn.Refused {
		// When memory is short, Redis takes no transactions, but can be read.
		w, err = l.window(ctx, g, q, false)
		w.exact = false
	}
	if err != nil {
		return history.Page{}, err
	}
	page := w.page(q)
	if w.exact || q.Meta {
		page.At = w.state.position
	}
	if q.Versioned && w.exact {
		page.Version = w.state.version(q)
	}
	return page, nil
}

// window is a piece of a group's list, newest first.
type window struct {
	// Index of the first text. Later texts have higher ones.
	start int
	elements
	// The group's state when the first part was read.
	state state
	// All texts are as they were then.
	exact bool
}

// page is the page that shows the window.
func (w *window) page(q history.Query) history.Page {
	var page history.Page
	n := fill(&page, w.elements, w.state.head-int64(w.start), older, q.MaxBytes)
	if left := w.state.length - w.start - n; left > 0 {
		page.More, page.Next = true, w.start+n
		if q.Position < 0 {
			page.Next = -left
		}
	}
	return page
}

// window reads what q asks for by position, in parts. The first part comes together
// with the group's state. A list without counters is adopted first.
func (l *Log) window(ctx context.Context, g group.Name, q history.Query, atomic bool) (window, error) {
	for n := 1; n <= windowTries; n++ {
		w, err := l.beginWindow(ctx, g, q, atomic)
		switch {
		case err != nil:
			return window{}, err
		case !w.state.adopted && w.state.length > 0:
			err = l.adopter.Adopt(ctx, g)
		default:
			var same bool
			same, err = l.completeWindow(ctx, g, q, &w)
			if err == nil && (same || n == windowTries) {
				return w, nil
			}
		}
		if err != nil && redisconn.OutcomeOf(err) != redisconn.Changed {
			return window{}, err
		}
	}
	return window{}, fmt.Errorf("%w: the group's counters kept changing", history.ErrUnavailable)
}

// windowTries bounds how often a window is read. A read is repeated if the list had to be
// adopted, has another epoch, or grew meanwhile.
const windowTries = 3

func (l *Log) beginWindow(ctx context.Context, g group.Name, q history.Query, atomic bool) (window, error) {
	exec := l.conn.Exec
	if atomic {
		exec = l.conn.ExecAtomic
	}
	n := min(q.Size, maxPart)
	start, stop := q.Position, q.Position+n-1
	if start < 0 {
		stop = min(stop, -1)
	}
	want := wanted{version: q.Versioned, entries: q.Meta}
	if q.Meta && (start < 0 || !atomic) {
		// The oldest text and the oldest entry have other indexes, and a state that is not that of the
		// texts does not number them. So only the state is read here, and all texts by number.
		start, stop, want.entries = 1, 0, false
	}
	p, err := l.readPart(ctx, g, int64(start), int64(stop), want, exec)
	if err != nil {
		return window{}, err
	}
	if start = q.Position; start < 0 {
		start = max(0, p.state.length+start)
	}
	return window{start: start, elements: p.elements, state: p.state, exact: true}, nil
}

// completeWindow reads the parts after the first one. It returns false if others have
// pushed to the list meanwhile: then messages may be there twice.
func (l *Log) completeWindow(ctx context.Context, g group.Name, q history.Query, w *window) (same bool, err error) {
	end := min(w.start+q.Size, w.state.length)
	r := l.newReader(g, &w.state, w.state.head-int64(w.start+len(w.texts)), w.state.head-int64(end)+1, older)
	r.entries = q.Meta
	r.pace.add(w.texts)
	for r.more() && r.pace.bytes < q.MaxBytes {
		_, part, err := r.read(ctx, history.MaxPageSize)
		if err != nil {
			return false, err
		}
		if len(part.texts) == 0 { // trimmed meanwhile
			w.state.length = w.start + len(w.texts)
			w.exact = false
			return true, nil
		}
		w.texts, w.entries = append(w.texts, part.texts...), append(w.entries, part.entries...)
	}
	same = r.seen.oldest() >= w.state.oldest()
	w.exact = same && !r.unseen && r.seen.overwritten == w.state.overwritten
	return same, nil
}

// fill adds elements, the first of which has the number seq, to a page until that has
// maxBytes, and returns how many it took; tombstones count but are not shown.
func fill(page *history.Page, e elements, seq int64, dir direction, maxBytes int) (taken int) {
	bytes := 0
	for _, t := range page.Texts {
		bytes += len(t)
	}
	for i, text := range e.texts {
		if _, recalled := packet.ParseTombstone(text); recalled {
			continue
		}
		text = validText(text) // which may be longer
		if bytes += len(text); bytes > maxBytes && len(page.Texts) > 0 {
			return i
		}
		if page.Texts == nil {
			page.Texts = make([]string, 0, len(e.texts))
			if e.entries != nil {
				page.Meta = make([]history.Meta, 0, len(e.entries))
			}
		}
		page.Texts = append(page.Texts, text)
		if e.entries != nil {
			kept := layout.ParseEntry(e.entries[i])
			page.Meta = append(page.Meta, history.Meta{Seq: uint64(max(0, seq+int64(dir)*int64(i))), At: kept.At, By: kept.By})
		}
	}
	return len(e.texts)
}

// validText is what clients get of a stored text: older servers stored
// whatever came.
func validText(text string) string {
	if utf8.ValidString(text) { // much faster than ToValidUTF8, and nearly always so
		return text
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// pageFrom reads on from a message. Unlike a page by position it is filled up
// beyond tombstones: a client that goes on from its last uuid must not meet an
// empty page in between.
func (l *Log) pageFrom(ctx context.Context, g group.Name, q history.Query, dir direction, start starter) (page history.Page, err error) {
	for range changeTries {
		page, err = l.tryPageFrom(ctx, g, q, dir, start)
		if redisconn.OutcomeOf(err) != redisconn.Changed {
			break
		}
	}
	return page, err
}

// changeTries bounds how often a page is read when the group's epoch has changed
// meanwhile.
const changeTries = 3

// starter finds the number from which a page is read on, and what the group has at that
// moment.
type starter func(ctx context.Context, g group.Name) (found lookup, seq int64, err error)

// startAt returns a starter at the message with a uuid.
func (l *Log) startAt(uuid string) starter {
	return func(ctx context.Context, g group.Name) (lookup, int64, error) {
		found, err := l.lookUp(ctx, g, uuid)
		if err != nil {
			return lookup{}, 0, err
		}
		seq, known := found.seq()
		if !known || seq+1 < found.oldest {
			return lookup{}, 0, history.ErrNotFound
		}
		return found, seq, nil
	}
}

// startAtSeq returns a starter at a number, or at the nearest end of the list.
func (l *Log) startAtSeq(seq uint64) starter {
	return func(ctx context.Context, g group.Name) (lookup, int64, error) {
		s, err := l.adoptedState(ctx, g)
		if err != nil {
			return lookup{}, 0, err
		}
		at := int64(min(seq, math.MaxInt64))
		return lookup{epoch: s.epoch, end: s.position, head: s.head, oldest: s.oldest()}, max(s.oldest()-1, min(s.head+1, at)), nil
	}
}

// adoptedState reads the state of a group, and adopts a list without counters first.
func (l *Log) adoptedState(ctx context.Context, g group.Name) (state, error) {
	for range adoptionTries {
		p, err := l.readPart(ctx, g, 1, 0, wanted{}, l.conn.ExecAtomic)
		if redisconn.OutcomeOf(err) == redisconn.Refused { // memory is short: there are no transactions
			p, err = l.readPart(ctx, g, 1, 0, wanted{}, l.conn.Exec)
		}
		if err != nil || p.state.adopted || p.state.length == 0 {
			return p.state, err
		}
		if err := l.adopter.Adopt(ctx, g); err != nil {
			return state{}, err
		}
	}
	return state{}, fmt.Errorf("%w: the group's counters kept vanishing", history.ErrUnavailable)
}

func (l *Log) tryPageFrom(ctx context.Context, g group.Name, q history.Query, dir direction, start starter) (history.Page, error) {
	found, seq, err := start(ctx, g)
	if err != nil {
		return history.Page{}, err
	}
	last := found.oldest
	if dir == newer {
		last = found.head
	}
	r := found.newReader(l, g, seq+int64(dir), last, dir)
	r.entries = q.Meta
	next := r.next
	var page history.Page
	if q.Meta {
		page.At = found.end
	}
	for r.more() && len(page.Texts) < q.Size {
		first, part, err := r.read(ctx, q.Size-len(page.Texts))
		if err != nil {
			return history.Page{}, err
		}
		if len(part.texts) == 0 {
			return page, nil // trimmed meanwhile
		}
		n := fill(&page, part, first, dir, q.MaxBytes)
		next = first + int64(dir)*int64(n)
		if n < len(part.texts) {
			break // full, by bytes
		}
	}
	if (last-next)*int64(dir) >= 0 && q.Size > 0 {
		page.More, page.Next = true, int(found.head-next)
	}
	return page, nil
}
