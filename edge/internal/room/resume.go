package room

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// A member that resumes joins its room first and then reads the store, page
// after page. Meanwhile it gets nothing live; the room keeps its recent events.
// After each page both places are compared, under the room's lock:
//
//	the same             the member is live
//	the member is ahead  it is live, but skips what it has already
//	the member is behind it takes the rest from the recent events; if they do
//	                     not reach back to its place, it reads on
//
// All of it rests on positions, so there is no gap, no duplicate and no
// reordering, however the two interleave.

const (
	readAttempts = 4
	readPause    = 500 * time.Millisecond
	// A store that stays behind the room this long is not one to read from.
	maxStale   = 50
	stalePause = 100 * time.Millisecond
)

var (
	errGap        = errors.New("the stream cannot be continued where the member is")
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
func (g *Registry) CatchUp(ctx context.Context, m *Member) {
	g.metrics.resumes.Inc()
	err := g.catchUp(ctx, m)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errGap):
		m.lose()
	default:
		m.out.Close(errUnreadable) // of no effect if it is ending already
	}
}

func (g *Registry) catchUp(ctx context.Context, m *Member) error {
	catching := &resumed{}
	start := relay.Start{AfterUUID: m.after}
	first := true
	for stale := 0; stale < maxStale; first = false {
		page, err := g.readPatiently(ctx, m, start)
		if err != nil {
			return err
		}
		if page.Gap {
			if !first {
				return errGap
			}
			m.out.Send(gapFrame)
		}
		if err := g.sendPage(ctx, m, page, &catching.skips); err != nil {
			return err
		}
		done, err := m.room.handOver(m, page.Position, catching)
		if done || err != nil {
			return err
		}
		start = relay.Start{After: page.Position}
		if len(page.Events) == 0 {
			stale++
			if err := pause(ctx, stalePause); err != nil {
				return err
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
		if err := pause(ctx, readPause); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sendPage queues what m gets of a page, as fast as m reads.
func (g *Registry) sendPage(ctx context.Context, m *Member, p *page, skips *stream.Skips) error {
	var frames []ws.Frame
	var acked []uint32
	var told []uint64
	for i := range p.Events {
		e := p.Events[i] // Mark changes it
		if g.sender(&e) == m.session {
			// It was sent on this connection while it was catching up. If it has
			// been recalled, the member is to hear of that.
			if f, ok := senderFrame(&e); ok {
				frames = append(frames, f)
				acked = append(acked, publication(&e))
			}
			continue
		}
		skips.Mark(&e)
		if !p.public[i] || e.Silent {
			continue
		}
		if e.Kind == stream.Recall {
			// Until the member is handed over, told is this goroutine's alone.
			if slices.Contains(m.told, e.Target) {
				continue
			}
			told = append(told, e.Target)
		}
		frames = append(frames, p.frames[i])
	}
	if err := m.out.SendPaced(ctx, frames); err != nil {
		return err
	}
	m.room.passedInPage(m, acked, told)
	g.metrics.acks.Add(float64(len(acked)))
	g.metrics.deliveries.Add(float64(len(frames) - len(acked)))
	return m.out.Await(ctx) // room for what handOver sends
}

// passedInPage notes the acks, and the recalls by what they recalled, among what
// m was sent of a page.
func (r *Room) passedInPage(m *Member, acked []uint32, told []uint64) {
	if len(acked) == 0 && len(told) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seq := range told {
		m.tell(seq)
	}
	for _, n := range acked {
		m.ackedInPlace(n)
		m.acked()
	}
}

// handOver moves m to pos, which the page has reached, and makes it live if the
// room can go on from there.
func (r *Room) handOver(m *Member, pos stream.Position, own *resumed) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.state == left {
		return true, nil
	}
	m.pos, m.since = pos, pos.Recalls
	v := view{member: m}
	v.due(pos.Epoch, pos.Seq)
	switch {
	case r.pos == pos:
		m.state = live
	case r.pos.Before(pos) || r.pos.Epoch == 0:
		m.state = ahead
	case r.recent.covers(pos):
		m.state = live
	case pos.Before(r.pos) || pos.Epoch == 0:
		v.send()
		return false, nil
	default:
		return false, errGap
	}
	own.upTo = pos.Seq
	m.resumed = own
	if err := r.replay(m, &v); err != nil {
		return false, err
	}
	v.send()
	r.stopCatching()
	return true, nil
}

// replay gives m the recent events that it has not got: stored ones by their
// place, others if they came after it joined.
func (r *Room) replay(m *Member, v *view) error {
	for i := range r.recent.events {
		d := &r.recent.events[i]
		if !d.event.Kind.Stored() {
			if d.number > m.joined {
				v.add(&d.delivery)
			}
			continue
		}
		switch m.pos.Next(d.epoch, d.event) {
		case stream.Follows:
			v.add(&d.delivery)
		case stream.Old:
		case stream.Broken:
			return errGap
		}
	}
	if m.state == live && m.pos != r.pos {
		return errGap
	}
	return nil
}
