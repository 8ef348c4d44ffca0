package gateway

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/internal/quota"
)

const (
	// maxFetching bounds the pages of history that are fetched at one time: each may
	// be of 8 MiB, twice. A fetch ends in bounded time.
	maxFetching = 64
	// maxSending bounds the large ones that are sent: a slow reader holds one for up to
	// a minute.
	maxSending = 64
	// maxWaiting is how many that were fetched may wait to be sent: slow readers of
	// large pages do not keep others from fetching small ones.
	maxWaiting = maxFetching / 2
	// maxQueued is how many requests may wait to fetch their page, each: as requests
	// under way they must not keep others out.
	maxQueued = 16 * maxFetching
	// pagePatience is how long a request may wait for each of the two.
	pagePatience = 2 * time.Second
)

// pageLimits bound the pages of history under way, in number and by the budget of
// bytes.
type pageLimits struct {
	queued, fetching, waiting, sending *quota.Share
	budget                             *limit.Budget
}

func newPageLimits(b *limit.Budget) *pageLimits {
	return &pageLimits{
		queued: quota.NewShare(maxQueued), fetching: quota.NewShare(maxFetching),
		waiting: quota.NewShare(maxWaiting), sending: quota.NewShare(maxSending), budget: b,
	}
}

// inUse returns how many pages are fetched, or large and sent.
func (l *pageLimits) inUse() int { return int(l.fetching.Used() + l.sending.Used()) }

// acquireSending waits to be one of those that send.
func (l *pageLimits) acquireSending(ctx context.Context, client string) (place quota.Held, ok bool) {
	if place, ok = l.sending.TryAcquire(client, 1); ok {
		return place, true
	}
	waiting, ok := l.waiting.TryAcquire(client, 1)
	if !ok {
		return place, false
	}
	defer waiting.Release()
	return l.sending.Acquire(ctx, client, 1, pagePatience)
}

// pagePermit is what one request holds of pageLimits. It must be released.
type pagePermit struct {
	limits *pageLimits
	// Whose part of the budget it uses.
	client string
	place  quota.Held // of fetching or sending
	bytes  quota.Held
}

// toFetch waits until a page that takes that many bytes may be fetched, and reports
// whether it may.
func (p *pagePermit) toFetch(ctx context.Context, cost int64) (ok bool) {
	queued, ok := p.limits.queued.TryAcquire(p.client, 1)
	if !ok {
		return false
	}
	defer queued.Release()
	if p.place, ok = p.limits.fetching.Acquire(ctx, p.client, 1, pagePatience); !ok {
		return false
	}
	p.bytes, ok = p.limits.budget.Fetches.Acquire(ctx, p.client, cost, pagePatience)
	return ok
}

// toSend waits until that many bytes may be sent, and reports whether they may. The
// page is no longer one that is fetched.
func (p *pagePermit) toSend(ctx context.Context, size int) bool {
	if size <= limit.SmallPage {
		p.release()
		return true
	}
	p.bytes.Shrink(limit.PageCost(size))
	sending, ok := p.limits.acquireSending(ctx, p.client)
	if !ok {
		return false
	}
	p.place.Release()
	p.place = sending
	bytes, ok := p.limits.budget.Pages.Acquire(ctx, p.client, int64(size), pagePatience)
	p.bytes.Release() // only now: a page that waits is in memory
	p.bytes = bytes
	return ok
}

func (p *pagePermit) release() {
	p.bytes.Release()
	p.place.Release()
}
