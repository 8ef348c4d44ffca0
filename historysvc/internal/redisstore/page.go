package redisstore

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// plainSize is the largest page that is read by a plain LRANGE, which is
// faster but knows no limit of bytes.
const plainSize = 128

// Page implements history.Log. More is set whenever older messages (with
// After: newer ones) follow what the page covers. Next is then the position of
// the first of them; it stays negative if q.Position was.
func (s *Store) Page(ctx context.Context, g group.Name, q history.Query) (history.Page, error) {
	q.Size = min(q.Size, history.MaxPageSize)
	if q.Versioned && q.Size > 0 {
		page, err := s.versionedPage(ctx, g, q)
		if fateOf(err) != refused {
			return page, err
		}
		// When memory is short Redis takes no transactions, but is read all the same.
	}
	return s.page(ctx, g, q, nil)
}

// versionedPage reads a page with its version, if the caller does not have it.
func (s *Store) versionedPage(ctx context.Context, g group.Name, q history.Query) (history.Page, error) {
	if q.Known != "" {
		now, err := s.stateOf(ctx, g)
		if err != nil {
			return history.Page{}, err
		}
		if now.version(q) == q.Known {
			return history.Page{Version: q.Known, Unmodified: true}, nil
		}
	}
	w := new(witness)
	page, err := s.page(ctx, g, q, w)
	page.Version = w.version(q)
	return page, err
}

// page reads a page in states that w, which may be nil, is told.
func (s *Store) page(ctx context.Context, g group.Name, q history.Query, w *witness) (history.Page, error) {
	p := q.Position
	switch {
	case q.Before != "":
		return s.pageFrom(ctx, g, q.Before, q.Size, -1, w)
	case q.After != "":
		return s.pageFrom(ctx, g, q.After, q.Size, 1, w)
	case q.Size <= 0:
		return history.Page{}, nil
	case p >= 0 && q.Size <= plainSize:
		// One more than asked for tells whether more follows.
		return s.plainPage(ctx, g, q, p, p+q.Size, w)
	case p < 0 && p >= -plainSize && p+q.Size >= 0:
		return s.plainPage(ctx, g, q, p, -1, w)
	}
	return s.scriptPage(ctx, g, q, w)
}

// plainPage reads a page whose elements LRANGE names exactly, whatever the
// length of the list.
func (s *Store) plainPage(ctx context.Context, g group.Name, q history.Query, start, stop int, w *witness) (history.Page, error) {
	found, err := command(ctx, func(ctx context.Context) (elements, error) {
		if w != nil {
			return s.elementsSeen(ctx, g, start, stop)
		}
		return s.elements(ctx, g, start, stop)
	})
	if err != nil {
		return history.Page{}, err
	}
	if len(found.texts) > 0 && !found.adopted {
		return s.scriptPage(ctx, g, q, w) // which adopts the list
	}
	if w != nil {
		w.saw(found.state)
	}
	page, n := fill(nil, found.texts[:min(len(found.texts), q.Size)])
	if left := len(found.texts) - n; left > 0 {
		page.More, page.Next = true, start+n
		if start < 0 {
			page.Next = -left
		}
	}
	return page, nil
}

// elements are what LRANGE has named.
type elements struct {
	texts []string
	// The group has counters.
	adopted bool
	// In which they were read, if that was asked for.
	state state
}

// elements is one attempt.
func (s *Store) elements(ctx context.Context, g group.Name, start, stop int) (elements, error) {
	k := keysOf(g)
	pipe := s.client.Pipeline()
	counters := pipe.Exists(ctx, k.meta)
	list := pipe.LRange(ctx, k.list, int64(start), int64(stop))
	_, _ = pipe.Exec(ctx) // the first error is one of the two
	if err := counters.Err(); err != nil {
		return elements{}, err
	}
	return elements{texts: list.Val(), adopted: counters.Val() > 0}, list.Err()
}

// elementsSeen is elements with their state.
func (s *Store) elementsSeen(ctx context.Context, g group.Name, start, stop int) (elements, error) {
	k := keysOf(g)
	pipe := s.client.TxPipeline()
	l := look(ctx, pipe, &k)
	list := pipe.LRange(ctx, k.list, int64(start), int64(stop))
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := list.Err(); err != nil {
		return elements{}, err
	}
	now, err := l.state()
	return elements{texts: list.Val(), adopted: l.adopted(), state: now}, err
}

func (s *Store) scriptPage(ctx context.Context, g group.Name, q history.Query, w *witness) (history.Page, error) {
	k := keysOf(g)
	reply, _, err := s.eval(ctx, g, script{Script: s.scripts.page, witness: w}, []string{k.list, k.meta},
		q.Position, q.Size, history.MaxPageBytes)
	if err != nil {
		return history.Page{}, err
	}
	r := replyReader{reply: reply}
	length, start := int(r.int()), int(r.int())
	if r.err != nil {
		return history.Page{}, r.err
	}
	page, n := fill(nil, r.rest())
	if left := length - start - n; left > 0 {
		page.More, page.Next = true, start+n
		if q.Position < 0 {
			page.Next = -left
		}
	}
	return page, nil
}

// fill adds elements to texts until the page is full, and says how many it
// took; tombstones count but are not shown.
func fill(texts, elements []string) (history.Page, int) {
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
		if bytes += len(text); bytes > history.MaxPageBytes && len(page.Texts) > 0 {
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

// pageFrom reads on from a message, towards the older ones (dir -1) or the
// newer ones (1). Unlike a page by position it is filled up beyond tombstones:
// whoever goes on from its last uuid must not meet an empty page in between.
func (s *Store) pageFrom(ctx context.Context, g group.Name, uuid string, size, dir int, w *witness) (page history.Page, err error) {
	for range tries {
		if w != nil {
			*w = witness{}
		}
		page, err = s.tryPageFrom(ctx, g, uuid, size, dir, w)
		if fateOf(err) != epochChanged {
			break
		}
	}
	return page, err
}

func (s *Store) tryPageFrom(ctx context.Context, g group.Name, uuid string, size, dir int, w *witness) (history.Page, error) {
	l, err := s.locate(ctx, g, uuid, w)
	if err != nil {
		return history.Page{}, err
	}
	seq, known := l.seq()
	if !known || seq+1 < l.oldest {
		return history.Page{}, history.ErrNotFound
	}
	next, last := seq-1, l.oldest
	if dir > 0 {
		next, last = seq+1, l.head
	}
	var page history.Page
	for ahead(next, last, dir) && len(page.Texts) < size {
		want := min(size-len(page.Texts), searchChunk)
		p, err := s.slice(ctx, g, l.epoch, next, last, want, history.MaxPageBytes, w)
		if err != nil {
			return history.Page{}, err
		}
		if len(p.texts) == 0 {
			return page, nil // trimmed meanwhile
		}
		var n int
		page, n = fill(page.Texts, p.texts)
		next = p.first + int64(dir*n)
		if n < len(p.texts) {
			break // full, by bytes
		}
	}
	if ahead(next, last, dir) && size > 0 {
		page.More, page.Next = true, int(l.head-next)
	}
	return page, nil
}

// ahead says whether to is reached from next in direction dir.
func ahead(next, to int64, dir int) bool {
	if dir > 0 {
		return next <= to
	}
	return next >= to
}
