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

// Pages returns the pages of a group's history: first the page that r selects, then pages
// of older messages. It continues by uuid, so that messages published meanwhile cause no
// duplicates or omissions. After a page without any uuid it continues by position. The
// pages end after an error. Code 404 means that the history was trimmed or expired
// meanwhile.
//
// If another program wrote the same uuid twice and a page ends between the two, the next
// page begins before both.
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
			fresh.Meta = page.Meta[min(c.shown, len(page.Meta)):]
			if !yield(fresh, nil) || page.Next == nil {
				return
			}
			c.advance(page)
		}
	}
}

// pageCursor is the position in a history up to which Pages has read.
type pageCursor struct {
	request PageRequest
	// How many messages after request.Before, which have no uuid, were returned.
	shown int
	// The uuids that pages continued from. Lists of other programs may have one twice.
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
		c.request = PageRequest{Size: c.request.Size, Before: uuid, Meta: c.request.Meta}
		c.shown = len(page.Packets) - 1 - i
		return
	}
	c.request = PageRequest{Size: c.request.Size, Position: *page.Next, Meta: c.request.Meta}
	c.shown = 0
}
