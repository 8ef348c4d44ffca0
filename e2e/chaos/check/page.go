package check

import "encoding/json"

// page checks one answer of the history.
func (c *checker) page(p *Page) {
	if c.near(p) {
		return // what a master shows that is about to lose it cannot be compared
	}
	last := len(c.Final)
	for i, text := range p.Texts {
		uuid := uuidOf(text)
		m := c.Messages[uuid]
		if m == nil || m.Text != text {
			c.violate(NothingForeign, nil, "a page has %.200q, which was never sent", text)
			return
		}
		if r := c.Recalls[uuid]; r != nil && r.Done > 0 && r.Done < p.Asked && !c.lossy(r.Done) {
			c.violate(RecallErases, nil, "%s was recalled at %.3f s and is in a page asked for at %.3f s", uuid, r.Done.Seconds(), p.Asked.Seconds())
		}
		at, stored := c.place[uuid]
		if !stored {
			c.violate(PagesAreHistory, nil, "a page of %.3f s has %s, which is not in the history", p.Asked.Seconds(), uuid)
			return
		}
		if at >= last {
			c.violate(PagesAreHistory, nil, "a page of %.3f s has place %d after place %d", p.Asked.Seconds(), at, last)
			return
		}
		if i > 0 && !c.recalledBetween(at, last, p) {
			return
		}
		last = at
	}
	c.fresh(p)
	c.adjoins(p)
}

// adjoins checks that nothing is missing between a page and the message next to
// which it was asked for.
func (c *checker) adjoins(p *Page) {
	if len(p.Texts) == 0 {
		return
	}
	if at, ok := c.place[p.Before]; ok && p.Before != "" {
		c.recalledBetween(c.place[uuidOf(p.Texts[0])], at, p)
	}
	if at, ok := c.place[p.After]; ok && p.After != "" {
		c.recalledBetween(at, c.place[uuidOf(p.Texts[len(p.Texts)-1])], p)
	}
}

// near reports whether Redis may have lost something around the page.
func (c *checker) near(p *Page) bool {
	for _, s := range c.Lossy {
		if s.From <= p.Answered && p.Asked <= s.To {
			return true
		}
	}
	return false
}

// recalledBetween checks that all between two neighbours was recalled.
func (c *checker) recalledBetween(from, to int, p *Page) bool {
	for i := from + 1; i < to; i++ {
		r := c.Recalls[c.Final[i].UUID]
		if r == nil || r.Asked > p.Answered {
			c.violate(PagesAreHistory, nil, "a page of %.3f s has places %d and %d and not %d (%s)", p.Asked.Seconds(), to, from, i, c.Final[i].UUID)
			return false
		}
	}
	return true
}

// fresh checks that a page of the newest messages has what was acked before it
// was asked for.
func (c *checker) fresh(p *Page) {
	if p.Position != 0 || p.Before != "" || p.After != "" || p.Size == 0 {
		return
	}
	top := -1
	if len(p.Texts) > 0 {
		top = c.place[uuidOf(p.Texts[0])]
	}
	for i := len(c.Final) - 1; i > top; i-- {
		e := c.Final[i]
		at, acked := c.acked[e.UUID]
		if !acked || at >= p.Asked {
			continue
		}
		if r := c.Recalls[e.UUID]; r != nil && r.Asked <= p.Answered {
			continue
		}
		if top < 0 && c.recalledAbove(i, p) >= p.Size {
			continue // everything that the page covers was recalled
		}
		c.violate(PagesAreHistory, nil, "a page asked for at %.3f s begins at place %d; %s (place %d) was acked at %.3f s", p.Asked.Seconds(), top, e.UUID, i, at.Seconds())
		return
	}
}

// recalledAbove counts the places after i that may have been erased when the page
// was made.
func (c *checker) recalledAbove(i int, p *Page) (n int) {
	for _, e := range c.Final[i+1:] {
		if r := c.Recalls[e.UUID]; r != nil && r.Asked <= p.Answered {
			n++
		}
	}
	return n
}

func uuidOf(text string) string {
	var p struct {
		UUID string `json:"uuid"`
	}
	_ = json.Unmarshal([]byte(text), &p) // no message has the uuid ""
	return p.UUID
}
