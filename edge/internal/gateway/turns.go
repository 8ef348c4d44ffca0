package gateway

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
)

const (
	// maxPages bounds the pages of history that are fetched at one time: each may be
	// of 8 MiB, twice. A fetch ends in bounded time.
	maxPages = 64
	// maxLarge bounds the large ones that are sent: whoever reads slowly holds one for
	// up to a minute. Small ones are not worth counting: the system's own buffers take
	// them.
	maxLarge  = 64
	smallPage = 64 << 10
	// maxWaiting is how many of those that were fetched may wait to be sent, so that
	// slow readers of large pages leave turns to those who want small ones.
	maxWaiting = maxPages / 2
	// pagePatience is how long a request may wait for a turn.
	pagePatience = 2 * time.Second
)

// turns bound the pages of history under way.
type turns struct{ fetched, waiting, sent limit.Slots }

func newTurns() turns {
	return turns{limit.NewSlots(maxPages), limit.NewSlots(maxWaiting), limit.NewSlots(maxLarge)}
}

// Taken is how many pages are fetched, or large and sent.
func (t *turns) Taken() int { return t.fetched.Taken() + t.sent.Taken() }

// sending takes a slot of those who send, and waits for one if need be.
func (t *turns) sending(ctx context.Context) bool {
	if t.sent.Try() {
		return true
	}
	if !t.waiting.Try() {
		return false
	}
	defer t.waiting.Free()
	return t.sent.Wait(ctx, pagePatience)
}

// turn is what one request holds of turns. It must end.
type turn struct {
	of   *turns
	held *limit.Slots
}

// toFetch waits for a turn to fetch a page. It returns false if there is none.
func (t *turn) toFetch(ctx context.Context) bool {
	if !t.of.fetched.Wait(ctx, pagePatience) {
		return false
	}
	t.held = &t.of.fetched
	return true
}

// toSend exchanges the turn to fetch for one to send that many bytes. It returns false
// if there is none.
func (t *turn) toSend(ctx context.Context, size int) bool {
	if size <= smallPage {
		t.end()
		return true
	}
	if !t.of.sending(ctx) {
		return false
	}
	t.end()
	t.held = &t.of.sent
	return true
}

func (t *turn) end() {
	if t.held != nil {
		t.held.Free()
		t.held = nil
	}
}
