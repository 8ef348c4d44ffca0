package redisstore

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

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
	p := q.Position
	switch {
	case q.Before != "":
		return s.pageFrom(ctx, g, q.Before, q.Size, -1)
	case q.After != "":
		return s.pageFrom(ctx, g, q.After, q.Size, 1)
	case q.Size <= 0:
		return history.Page{}, nil
	case p >= 0 && q.Size <= plainSize:
		// One more than asked for tells whether more follows.
		return s.plainPage(ctx, g, q, p, p+q.Size)
	case p < 0 && p >= -plainSize && p+q.Size >= 0:
		return s.plainPage(ctx, g, q, p, -1)
	}
	return s.scriptPage(ctx, g, q)
}

// plainPage reads a page whose elements LRANGE names exactly, whatever the
// length of the list.
func (s *Store) plainPage(ctx context.Context, g group.Name, q history.Query, start, stop int) (history.Page, error) {
	k := keysOf(g)
	var counters *redis.IntCmd
	elements, err := command(ctx, func(ctx context.Context) ([]string, error) {
		pipe := s.client.Pipeline()
		counters = pipe.Exists(ctx, k.meta)
		list := pipe.LRange(ctx, k.list, int64(start), int64(stop))
		_, _ = pipe.Exec(ctx) // the first error is one of the two
		if err := counters.Err(); err != nil {
			return nil, err
		}
		return list.Result()
	})
	if err != nil {
		return history.Page{}, err
	}
	if len(elements) > 0 && counters.Val() == 0 {
		return s.scriptPage(ctx, g, q) // which adopts the list
	}
	page, n := fill(nil, elements[:min(len(elements), q.Size)])
	if left := len(elements) - n; left > 0 {
		page.More, page.Next = true, start+n
		if start < 0 {
			page.Next = -left
		}
	}
	return page, nil
}

func (s *Store) scriptPage(ctx context.Context, g group.Name, q history.Query) (history.Page, error) {
	k := keysOf(g)
	reply, _, err := s.eval(ctx, g, script{Script: s.scripts.page}, []string{k.list, k.meta},
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
		if bytes += len(text); bytes > history.MaxPageBytes && len(page.Texts) > 0 {
			return page, i
		}
		page.Texts = append(page.Texts, validText(text))
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
func (s *Store) pageFrom(ctx context.Context, g group.Name, uuid string, size, dir int) (page history.Page, err error) {
	for range tries {
		page, err = s.tryPageFrom(ctx, g, uuid, size, dir)
		if fateOf(err) != epochChanged {
			break
		}
	}
	return page, err
}

func (s *Store) tryPageFrom(ctx context.Context, g group.Name, uuid string, size, dir int) (history.Page, error) {
	l, err := s.locate(ctx, g, uuid)
	if err != nil {
		return history.Page{}, err
	}
	if l.seq() == 0 || l.seq()+1 < l.oldest {
		return history.Page{}, history.ErrNotFound
	}
	next, last := l.seq()-1, l.oldest
	if dir > 0 {
		next, last = l.seq()+1, l.head
	}
	var page history.Page
	for ahead(next, last, dir) && len(page.Texts) < size {
		want := min(size-len(page.Texts), searchChunk)
		p, err := s.slice(ctx, g, l.epoch, next, last, want, history.MaxPageBytes)
		if err != nil {
			return history.Page{}, err
		}
		if len(p.texts) == 0 {
			return page, nil // trimmed meanwhile
		}
		var n int
		page, n = fill(page.Texts, p.texts)
		next = uint64(int64(p.first) + int64(dir*n))
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
func ahead(next, to uint64, dir int) bool {
	if dir > 0 {
		return next <= to
	}
	return next >= to && next > 0
}
