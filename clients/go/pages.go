package gotapi

import (
	"context"
	"iter"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// HistoryReader is what Pages reads from: a Client of this package or of gotapirpc.
type HistoryReader interface {
	History(ctx context.Context, group string, r PageRequest) (Page, error)
}

// Pages returns the pages of a group's history, the first as r asks for it and the others
// with older messages. It goes on by uuid, so that packets which are published meanwhile
// move nothing: no message comes twice, none is left out. Only after a page without any
// uuid does it go on by position. The pages end after an error; code 404 means that
// the history was trimmed or has expired meanwhile.
//
// If another program wrote a list in which a uuid stands twice, a page that ends between
// the two is followed by what is older than both.
func Pages(ctx context.Context, from HistoryReader, group string, r PageRequest) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		c := pageCursor{request: r, used: map[string]bool{}}
		for {
			page, err := from.History(ctx, group, c.request)
			if err != nil {
				yield(Page{}, err)
				return
			}
			fresh := page
			fresh.Packets = page.Packets[min(c.shown, len(page.Packets)):]
			if !yield(fresh, nil) || page.Next == nil {
				return
			}
			c.advance(page)
		}
	}
}

// pageCursor is the place in a history that has been read up to.
type pageCursor struct {
	request PageRequest
	// How many messages, of those that follow request.Before, have been shown: they have no
	// uuid.
	shown int
	// The uuids that were gone on from. In a list of other programs one may stand twice.
	used map[string]bool
}

// advance moves c behind a page that others follow.
func (c *pageCursor) advance(page Page) {
	for i := len(page.Packets) - 1; i >= 0; i-- {
		uuid := packet.Classify([]byte(page.Packets[i])).UUID
		if uuid == "" || c.used[uuid] {
			continue
		}
		c.used[uuid] = true
		c.request = PageRequest{Size: c.request.Size, Before: uuid}
		c.shown = len(page.Packets) - 1 - i
		return
	}
	c.request = PageRequest{Size: c.request.Size, Position: *page.Next}
	c.shown = 0
}
