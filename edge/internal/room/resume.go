package room

import (
	"context"
	"errors"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// A member that resumes joins its room first and then reads the store, page
// after page. Meanwhile it gets nothing live; the room keeps its recent events.
// After each page both places are compared, under the room's lock:
//
//	the same              the member is live
//	the member is ahead   it skips the events that it has already, and then is live
//	the member is behind  it takes the rest from the recent events; if they do
//	                      not reach back to its place, it reads on
//
// All of it rests on positions, so there is no gap, no duplicate and no
// reordering, however the two interleave.

const (
	// resumeBytes is about what a member that catches up holds: what it has read of the
	// store and waits in its queue. It waits for its turn for up to resumePatience.
	resumeBytes    = 512 << 10
	resumePatience = 30 * time.Second

	readAttempts = 4
	readPause    = 500 * time.Millisecond
	// A store that stays behind the room this long is not one to read from.
	maxStale   = 50
	stalePause = 100 * time.Millisecond
)

var (
	errGap        = errors.New("cannot continue the stream at the member's position")
	errUnreadable = &ws.CloseError{Code: packet.CloseTryAgainLater, Reason: "the history cannot be read now"}
)

func (r *Room) startCatching() {
	if r.catchers == 0 {
		r.recent.start(r.pos, r.registry.recent)
	}
	r.catchers++
}

func (r *Room) stopCatching() {
	r.catchers--
	if r.catchers == 0 {
		r.recent.stop()
	}
}

// CatchUp feeds a member that resumes from the store until its room takes over.
// It returns when that is done, when the connection ends, or when ctx does. If it
// cannot be done, it ends the connection.
//
// Meanwhile it holds a part of the budget, until what it has read of the store is
// written; it waits for that before it reads.
func (g *Registry) CatchUp(ctx context.Context, m *Member) {
	g.metrics.resumes.Inc()
	held, ok := g.budget.Resumes.Acquire(ctx, m.client, resumeBytes, resumePatience)
	defer held.Release()
	err := error(errUnreadable)
	if ok {
		err = g.catchUp(ctx, m)
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errGap):
		m.closeLost()
	default:
		m.out.Close(errUnreadable) // of no effect if it is ending already
		m.pending.Wake()
	}
	if err == nil {
		_ = m.out.Flush(ctx) // an error means that the connection ends
	}
}

func (g *Registry) catchUp(ctx context.Context, m *Member) error {
	start := relay.Start{AfterUUID: m.after}
	first := true
	for stale := 0; stale < maxStale; first = false {
		page, err := g.readPatiently(ctx, m, start)
		if err != nil {
			return err
		}
		if page.gap {
			if !first {
				return errGap
			}
			m.out.Send(gapFrame)
		}
		if err := m.sendPage(ctx, page); err != nil {
			return err
		}
		done, err := m.room.handOver(m, page.end)
		if done || err != nil {
			return err
		}
		start = relay.Start{After: page.end}
		if len(page.deliveries) == 0 {
			stale++
			if backoff.Sleep(ctx, stalePause) != nil {
				return context.Cause(ctx)
			}
		}
	}
	return errUnreadable
}

func (g *Registry) readPatiently(ctx context.Context, m *Member, start relay.Start) (*page, error) {
	for attempt := 1; ; attempt++ {
		page, err := g.pages.read(ctx, m.room.name, start)
		if err == nil || attempt == readAttempts || ctx.Err() != nil || m.out.Cause() != nil {
			return page, err
		}
		if backoff.Sleep(ctx, readPause) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// sendPage queues what m gets of a page, as fast as m reads. What it has sent itself
// on this connection is acked here.
func (m *Member) sendPage(ctx context.Context, p *page) error {
	o := outgoing{member: m}
	for i := range p.deliveries {
		o.show(&p.deliveries[i])
	}
	if err := m.out.SendPaced(ctx, o.frames); err != nil {
		return err
	}
	o.sent()
	return m.out.Await(ctx) // room for what handOver sends
}

// handOver moves m to pos, which the page has reached, and makes it live if the
// room can go on from there.
func (r *Room) handOver(m *Member, pos stream.Position) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return true, nil
	}
	m.pos = pos
	o := outgoing{member: m}
	o.ackDuplicates(pos)
	next := live
	switch {
	case r.pos == pos:
	case r.pos.Before(pos) || r.pos.Epoch == 0:
		next = ahead
	case r.recent.covers(pos):
	case pos.Before(r.pos) || pos.Epoch == 0:
		o.send()
		return false, nil
	default:
		return false, errGap
	}
	if err := r.replay(&o); err != nil {
		return false, err
	}
	if next == live && m.pos != r.pos {
		return false, errGap
	}
	o.send()
	r.stopCatching()
	m.state = next
	return true, nil
}

// replay adds the recent events that the member has not got: stored ones by their
// place, others if they came after it joined.
func (r *Room) replay(o *outgoing) error {
	m := o.member
	for i := range r.recent.events {
		d := &r.recent.events[i]
		if !d.event.Kind.Stored() {
			if d.number > m.joined {
				o.add(&d.delivery)
			}
			continue
		}
		switch m.pos.Next(d.epoch, d.event) {
		case stream.Follows:
			o.add(&d.delivery)
		case stream.Old:
		case stream.Broken:
			return errGap
		}
	}
	return nil
}
