package ws

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/internal/quota"
)

const (
	// A peer that lags and takes nothing for this long is a slow consumer.
	stallTimeout = 5 * time.Second
	// So is one that lags for this long, however steadily it reads.
	lagTimeout = 30 * time.Second
	// What a frame costs each Outbox that holds it, beside its bytes.
	frameCost = 32
	// Backlogs grow by this, so that most frames need no look at the budget.
	backlogStep = 256 << 10
)

// Backlog is what waits for the members of one room beyond the limits of their
// Outboxes. A member lags while more waits for it than these limits: a burst comes
// faster than it can be written, which is no fault of the member. Members of a room
// share its frames. So a room's Backlog is as large as that of the member furthest
// behind, plus the own frames of each other member.
//
// A nil Backlog lets nobody lag.
type Backlog struct {
	share *quota.Share
	most  int64
	// Rooms whose senders are to be held back.
	congested *atomic.Int64

	mu      sync.Mutex
	lagging int
	// Frames that members share, and what each of them needs for itself.
	shared, own int64
	held        quota.Held
	// Closed when senders need not wait any more; nil while they need not.
	relieved chan struct{}
}

// NewBacklog returns a Backlog of at most that many bytes, which it takes from share.
// It counts itself in congested while senders are to be held back.
func NewBacklog(share *quota.Share, most int64, congested *atomic.Int64) *Backlog {
	return &Backlog{share: share, most: min(most, share.Size()/4), congested: congested}
}

// Congested returns what to wait for before more is sent to the room; nil: nothing.
func (b *Backlog) Congested() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.relieved
}

// enter lets one more member lag.
func (b *Backlog) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lagging++
}

// cover makes room for a member that is behind by that many bytes, and needs ownMore
// for itself. It reports whether there is any.
func (b *Backlog) cover(shared, ownMore int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	shared = max(shared, b.shared)
	total := shared + b.own + ownMore
	if shared > b.most || !b.hold(total) {
		return false
	}
	b.shared, b.own = shared, b.own+ownMore
	if b.relieved == nil && total > b.most/2 {
		b.relieved = make(chan struct{})
		b.congested.Add(1)
	}
	return true
}

// hold takes bytes from the share in steps.
func (b *Backlog) hold(n int64) bool {
	if n <= b.held.Bytes() {
		return true
	}
	if b.held.Bytes() == 0 {
		var ok bool
		b.held, ok = b.share.TryAcquire("", n)
		return ok && b.held.Bytes() >= n
	}
	return b.held.Grow(n+backlogStep) || b.held.Grow(n)
}

// leave takes a member out that no longer lags, with what it needed for itself. When
// no member lags, senders go on.
func (b *Backlog) leave(own int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own -= own
	if b.lagging--; b.lagging > 0 {
		return
	}
	b.shared = 0
	b.held.Release()
	if b.relieved != nil {
		close(b.relieved)
		b.relieved = nil
		b.congested.Add(-1)
	}
}

// lag is how far a member is behind. The lock of its Outbox guards it.
type lag struct {
	backlog *Backlog
	// Zero: it does not lag.
	since, progress time.Time
	// What the Backlog covers for this member alone, and how many bytes of that are
	// frames that no other member has.
	own, ownFrames int64
}

// SetBacklog lets the peer lag as one of those that share b.
func (o *Outbox) SetBacklog(b *Backlog) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lag.backlog = b
}

// mayLag reports whether an Outbox beyond its limits may go on, after frames have come
// of which so many bytes are its own. The caller holds the lock.
func (o *Outbox) mayLag(ownFrames int64) bool {
	l := &o.lag
	if l.backlog == nil {
		return o.shared && o.frames <= 2*o.limits.Frames && o.bytes <= 2*o.limits.Bytes
	}
	now := time.Now()
	if l.since.IsZero() {
		l.since, l.progress = now, now
		l.backlog.enter()
	}
	if now.Sub(l.progress) > stallTimeout || now.Sub(l.since) > lagTimeout {
		return false
	}
	l.ownFrames += ownFrames
	own := l.ownFrames + int64(max(0, o.frames-o.limits.Frames))*frameCost
	more := max(0, own-l.own)
	if !l.backlog.cover(int64(max(0, o.bytes-o.limits.Bytes)), more) {
		return false
	}
	l.own += more
	return true
}

// endLag ends the lag. The caller holds the lock.
func (o *Outbox) endLag() {
	l := &o.lag
	if l.since.IsZero() {
		return
	}
	l.backlog.leave(l.own)
	l.since, l.own, l.ownFrames = time.Time{}, 0, 0
}

// noteProgress notes that the peer has taken something. The caller holds the lock.
func (o *Outbox) noteProgress() {
	l := &o.lag
	if l.since.IsZero() {
		return
	}
	l.progress = time.Now()
	if o.isHalfEmpty() {
		o.endLag()
	}
}
