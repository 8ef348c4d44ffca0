package room

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// A member that does not begin where its room is joins the room first and then reads the
// store, page after page. So does one that has fallen behind. Meanwhile it gets nothing
// live; the room keeps its recent events. After each page both places are compared, under
// the room's lock:
//
//	the same              the member is live
//	the member is ahead   it skips the events that it has already, and then is live
//	the member is behind  it takes the rest from the recent events; if they do
//	                      not reach back to its place, it reads on
//
// All of it rests on positions, so there is no gap, no duplicate and no
// reordering, however the two interleave.
//
// The members of one connection take turns of one page. A join that is to be answered
// comes before them.

const (
	// resumeBytes is about what a connection that catches up holds: what it has read of
	// the store and waits in its queue. It waits for its turn for up to resumePatience.
	resumeBytes    = 512 << 10
	resumePatience = 30 * time.Second

	readAttempts = 4
	readPause    = 500 * time.Millisecond
	// A store that stays behind the room this long is not one to read from.
	maxIdle   = 50
	idlePause = 100 * time.Millisecond
)

var (
	errUnreadable = errors.New("the history cannot be read now")
	unreadable    = Refusal{Code: http.StatusServiceUnavailable, Reason: errUnreadable.Error(), Again: 5 * time.Second}
)

func (r *Room) startCatching() {
	if r.catchers == 0 {
		r.recent = &recent{from: r.pos, limit: r.registry.recent}
	}
	r.catchers++
}

func (r *Room) stopCatching() {
	r.catchers--
	if r.catchers == 0 {
		r.recent = nil
	}
}

// catchUp feeds the members of the connection from the store until their rooms take over.
// It returns when that is done, when the connection ends, or when ctx does.
//
// Meanwhile it holds a part of the budget, until what it has read of the store is
// written; it waits for that before it reads.
func (c *Conn) catchUp(ctx context.Context) {
	held, ok := c.registry.budget.Resumes.Acquire(ctx, c.Client, resumeBytes, resumePatience)
	defer held.Release()
	for m := c.turns.next(); m != nil; m = c.turns.next() {
		if !ok || c.takeTurn(ctx, m) != nil {
			c.giveUp(ctx, m)
		}
	}
	_ = c.Out.Flush(ctx) // an error means that the connection ends
}

// takeTurn gives m one page. If that does not make it live, it gets in line again.
func (c *Conn) takeTurn(ctx context.Context, m *Member) error {
	var p *page
	var err error
	if m.catch.answered {
		if err := c.awaitRoom(ctx, m); err != nil {
			return err
		}
		p, err = c.readOn(ctx, m)
	} else {
		p, err = c.answerJoin(ctx, m)
	}
	if p == nil || err != nil {
		return err
	}
	return c.feed(ctx, m, p)
}

// awaitRoom waits until m has room in the queue. Meanwhile it answers joins.
func (c *Conn) awaitRoom(ctx context.Context, m *Member) error {
	for {
		if err := c.Out.AwaitRoom(ctx, m.share(), c.turns.joinWaits); err != nil {
			return err
		}
		join := c.turns.nextJoin()
		if join == nil {
			return nil
		}
		if c.answerOther(ctx, join) != nil {
			c.giveUp(ctx, join)
		}
	}
}

// answerOther answers a join while another member has its turn. A page that does not fit
// into the queue now is read once more.
func (c *Conn) answerOther(ctx context.Context, m *Member) error {
	p, err := c.answerJoin(ctx, m)
	if p == nil || err != nil {
		return err
	}
	if frames := p.frames(m); c.Out.Portion(m.share(), frames) < len(frames) {
		c.add(m)
		return nil
	}
	m.room.give(m, p.deliveries)
	return c.goOn(ctx, m, p)
}

// answerJoin reads the first page of m and answers its join. It returns nil if m has left.
func (c *Conn) answerJoin(ctx context.Context, m *Member) (*page, error) {
	if m.room.hasLeft(m) {
		return nil, nil
	}
	p, err := c.readPatiently(ctx, m, m.catch.start.read())
	if err != nil || !m.room.answer(m, p.start, p.gap) {
		return nil, err
	}
	return p, nil
}

// readOn reads the next page of m. It returns nil if m has left, or ended at a gap.
func (c *Conn) readOn(ctx context.Context, m *Member) (*page, error) {
	if m.room.hasLeft(m) {
		return nil, nil
	}
	p, err := c.readPatiently(ctx, m, readOn(m.catch.pos))
	if err != nil || p.gap && !m.room.skip(m, p.start) {
		return nil, err
	}
	return p, nil
}

func (c *Conn) readPatiently(ctx context.Context, m *Member, start relay.Start) (*page, error) {
	for attempt := 1; ; attempt++ {
		p, err := c.registry.pages.read(ctx, m.room.name, start)
		if err == nil || attempt == readAttempts || ctx.Err() != nil || c.Out.Cause() != nil {
			return p, err
		}
		if backoff.Sleep(ctx, readPause) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// feed queues what m gets of a page, as fast as the peer reads. What the connection has
// sent itself is acked here.
func (c *Conn) feed(ctx context.Context, m *Member, p *page) error {
	frames := p.frames(m)
	for at := 0; at < len(frames); {
		n := c.Out.Portion(m.share(), frames[at:])
		if n > 0 && !m.room.give(m, p.deliveries[at:at+n]) {
			return nil
		}
		if at += n; at == len(frames) {
			break
		}
		if err := c.awaitRoom(ctx, m); err != nil {
			return err
		}
	}
	if err := c.awaitRoom(ctx, m); err != nil { // for what handOver sends
		return err
	}
	return c.goOn(ctx, m, p)
}

// goOn hands m over to its room, or lets it get in line again.
func (c *Conn) goOn(ctx context.Context, m *Member, p *page) error {
	if m.room.handOver(m, p.end) {
		return nil
	}
	if len(p.deliveries) > 0 {
		m.catch.idle = 0
	} else {
		if m.catch.idle++; m.catch.idle == maxIdle {
			return errUnreadable
		}
		if backoff.Sleep(ctx, idlePause) != nil {
			return context.Cause(ctx)
		}
	}
	c.add(m)
	return nil
}

// giveUp ends the membership of m, which cannot catch up, unless the connection is
// ending.
func (c *Conn) giveUp(ctx context.Context, m *Member) {
	if ctx.Err() == nil {
		m.room.giveUp(m)
	}
}

func (r *Room) hasLeft(m *Member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.state == left
}

// give queues deliveries for a member that catches up. It returns false if m has left.
func (r *Room) give(m *Member, deliveries []delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return false
	}
	o := outgoing{member: m}
	for i := range deliveries {
		o.show(&deliveries[i])
	}
	o.ackBytes = 0
	for _, f := range o.frames {
		o.ackBytes += f.Size() // all are the member's own
	}
	o.send()
	return true
}

// skip lets a member that catches up go on at a place after events that are lost. It
// returns false if that ends it, or it has left.
func (r *Room) skip(m *Member, to stream.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return false
	}
	last, end := m.conn.Dialect.Lost(r.name, to)
	if end != nil {
		m.end(last, end)
		return false
	}
	r.registry.metrics.memberGaps.Inc()
	m.push(last)
	m.catch.pos = to
	m.answerPassed(to)
	return true
}

// handOver moves m to pos, which a page has reached, and makes it live if the
// room can go on from there. It returns false if m has to read on.
func (r *Room) handOver(m *Member, pos stream.Position) (done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return true
	}
	m.catch.pos = pos
	o := outgoing{member: m}
	if m.waits {
		o.ackResults(pos)
	}
	next, lost := live, false
	switch {
	case !r.known: // it is about to be attached elsewhere
		o.send()
		return false
	case r.pos == pos:
	case r.pos.Before(pos) || r.pos.Epoch == 0:
		next = ahead
	case r.recent.covers(pos) && r.fits(m, pos):
	case pos.Before(r.pos) || pos.Epoch == 0:
		o.send()
		return false
	default:
		lost = true
	}
	lost = lost || !r.replay(&o) || next == live && m.catch.pos != r.pos
	o.send()
	if lost {
		r.lose(m)
		return true
	}
	r.stopCatching()
	if !m.catch.fallen {
		m.push(m.conn.Dialect.Live(r.name, m.catch.pos))
	}
	m.state = next
	if next == live {
		m.catch = nil
	}
	return true
}

// fits reports whether the recent events after pos fit into what m may have in the queue.
func (r *Room) fits(m *Member, pos stream.Position) bool {
	events, bytes := r.recent.after(pos)
	return m.out.Fits(m.share(), events, bytes)
}

// replay adds the recent events that the member has not got: stored ones by their
// place, others if they came after it joined, and it did not fall behind. It returns
// false if one does not follow.
func (r *Room) replay(o *outgoing) bool {
	m := o.member
	for i := range r.recent.events {
		d := &r.recent.events[i]
		if !d.Kind.Stored() {
			if d.number > m.catch.joined && !m.catch.fallen {
				o.add(&d.delivery)
			}
			continue
		}
		switch m.catch.pos.Next(d.epoch, d.Event.Event) {
		case stream.Follows:
			o.add(&d.delivery)
		case stream.Old:
		case stream.Broken:
			return false
		}
	}
	return true
}

// giveUp ends the membership of a member that cannot catch up. One whose join waits for
// its answer gets none: the join fails.
func (r *Room) giveUp(m *Member) {
	r.mu.Lock()
	dropped := r.end(m, &unreadable)
	r.mu.Unlock()
	if dropped && m.conn.Left != nil {
		m.conn.Left(m)
	}
}
