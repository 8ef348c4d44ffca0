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

// toFetch waits for a turn to fetch a page. toSend must follow.
func (t *turns) toFetch(ctx context.Context) bool { return t.fetched.Wait(ctx, pagePatience) }

// toSend ends the turn of a page that was fetched, in exchange for one to send that
// many bytes, which free ends; ok is false if there is none.
func (t *turns) toSend(ctx context.Context, size int) (free func(), ok bool) {
	defer t.fetched.Free()
	if size <= smallPage {
		return func() {}, true
	}
	if t.sent.Try() {
		return t.sent.Free, true
	}
	if !t.waiting.Try() {
		return nil, false
	}
	defer t.waiting.Free()
	return t.sent.Free, t.sent.Wait(ctx, pagePatience)
}
