package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
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
		return l.pageFrom(ctx, g, q.Before, q, older)
	case q.After != "":
		return l.pageFrom(ctx, g, q.After, q, newer)
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
	w, err := l.window(ctx, g, q, l.conn.ExecAtomic)
	if redisconn.OutcomeOf(err) == redisconn.Refused {
		// When memory is short, Redis takes no transactions, but can be read.
		w, err = l.window(ctx, g, q, l.conn.Exec)
		w.exact = false
	}
	if err != nil {
		return history.Page{}, err
	}
	page := w.page(q)
	if w.exact {
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
	texts []string
	// The group's state when the first part was read.
	state state
	// All texts are as they were then.
	exact bool
}

// page is the page that shows the window.
func (w *window) page(q history.Query) history.Page {
	page, n := fill(nil, w.texts, q.MaxBytes)
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
func (l *Log) window(ctx context.Context, g group.Name, q history.Query, exec executor) (window, error) {
	for n := 1; n <= windowTries; n++ {
		w, err := l.beginWindow(ctx, g, q, exec)
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

func (l *Log) beginWindow(ctx context.Context, g group.Name, q history.Query, exec executor) (window, error) {
	n := min(q.Size, maxPart)
	start, stop := q.Position, q.Position+n-1
	if start < 0 {
		stop = min(stop, -1)
	}
	p, err := l.readPart(ctx, g, int64(start), int64(stop), q.Versioned, exec)
	if err != nil {
		return window{}, err
	}
	if start < 0 {
		start = max(0, p.state.length+start)
	}
	return window{start: start, texts: p.texts, state: p.state, exact: true}, nil
}

// completeWindow reads the parts after the first one. It returns false if others have
// pushed to the list meanwhile: then messages may be there twice.
func (l *Log) completeWindow(ctx context.Context, g group.Name, q history.Query, w *window) (same bool, err error) {
	end := min(w.start+q.Size, w.state.length)
	r := l.newReader(g, &w.state, w.state.head-int64(w.start+len(w.texts)), w.state.head-int64(end)+1, older)
	r.pace.add(w.texts)
	for r.more() && r.pace.bytes < q.MaxBytes {
		_, texts, err := r.read(ctx, history.MaxPageSize)
		if err != nil {
			return false, err
		}
		if len(texts) == 0 { // trimmed meanwhile
			w.state.length = w.start + len(w.texts)
			w.exact = false
			return true, nil
		}
		w.texts = append(w.texts, texts...)
	}
	same = r.seen.oldest() >= w.state.oldest()
	w.exact = same && !r.unseen && r.seen.overwritten == w.state.overwritten
	return same, nil
}

// fill adds elements to texts until the page has maxBytes, and returns how many it
// took; tombstones count but are not shown.
func fill(texts, elements []string, maxBytes int) (history.Page, int) {
	page := history.Page{Texts: texts}
	bytes := 0
	for _, t := range texts {
		bytes += len(t)
	}
	for i, text := range elements {
		if _, recalled := packet.ParseTombstone(text); recalled {
			continue
		}
		text = validText(text) // which may be longer
		if bytes += len(text); bytes > maxBytes && len(page.Texts) > 0 {
			return page, i
		}
		page.Texts = append(page.Texts, text)
	}
	return page, len(elements)
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
func (l *Log) pageFrom(ctx context.Context, g group.Name, uuid string, q history.Query, dir direction) (page history.Page, err error) {
	for range changeTries {
		page, err = l.tryPageFrom(ctx, g, uuid, q, dir)
		if redisconn.OutcomeOf(err) != redisconn.Changed {
			break
		}
	}
	return page, err
}

// changeTries bounds how often a page is read when the group's epoch has changed
// meanwhile.
const changeTries = 3

func (l *Log) tryPageFrom(ctx context.Context, g group.Name, uuid string, q history.Query, dir direction) (history.Page, error) {
	found, err := l.lookUp(ctx, g, uuid)
	if err != nil {
		return history.Page{}, err
	}
	seq, known := found.seq()
	if !known || seq+1 < found.oldest {
		return history.Page{}, history.ErrNotFound
	}
	last := found.oldest
	if dir == newer {
		last = found.head
	}
	r := found.newReader(l, g, seq+int64(dir), last, dir)
	next := r.next
	var page history.Page
	for r.more() && len(page.Texts) < q.Size {
		first, texts, err := r.read(ctx, q.Size-len(page.Texts))
		if err != nil {
			return history.Page{}, err
		}
		if len(texts) == 0 {
			return page, nil // trimmed meanwhile
		}
		var n int
		page, n = fill(page.Texts, texts, q.MaxBytes)
		next = first + int64(dir)*int64(n)
		if n < len(texts) {
			break // full, by bytes
		}
	}
	if (last-next)*int64(dir) >= 0 && q.Size > 0 {
		page.More, page.Next = true, int(found.head-next)
	}
	return page, nil
}
