package room

import (
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// maxBacklog is how far the members of a room may be behind, bytes. Senders are held
	// back from the half on. What they have under way then, a quarter of the default
	// -publish-queue-bytes, still fits.
	maxBacklog = 32 << 20
	// maxHold is how long one publish, or a batch, is held back: a member that reads slowly
	// does not stop its room.
	maxHold = time.Second
)

// Publisher takes packets on their way to a group.
type Publisher interface {
	Publish(batch ...*relay.Publication)
}

// Throttle delays packets to a Publisher while members of their group here are far behind.
// Otherwise a burst of senders would make healthy readers slow consumers. TCP passes the
// delay on to the senders.
type Throttle struct {
	next  Publisher
	rooms *Registry
}

// NewThrottle returns a Throttle in front of next.
func NewThrottle(next Publisher, rooms *Registry) *Throttle { return &Throttle{next, rooms} }

// Publish passes the batch on, after up to a second.
func (t *Throttle) Publish(batch ...*relay.Publication) {
	t.rooms.holdBack(batch)
	t.next.Publish(batch...)
}

// HoldsBack reports whether a Throttle would hold a packet of the group back now.
func (g *Registry) HoldsBack(name group.Name) bool {
	return g.congested.Load() > 0 && g.relief(name) != nil
}

func (g *Registry) holdBack(batch []*relay.Publication) {
	if g.congested.Load() == 0 {
		return
	}
	timeout := time.NewTimer(maxHold)
	defer timeout.Stop()
	var last group.Name
	for _, p := range batch {
		if p.Group == last {
			continue
		}
		last = p.Group
		if !g.awaitRelief(p.Group, timeout.C) {
			return
		}
	}
}

// awaitRelief waits until the members of a group here have caught up, and reports whether
// they have before the timeout.
func (g *Registry) awaitRelief(name group.Name, timeout <-chan time.Time) bool {
	relieved := g.relief(name)
	if relieved == nil {
		return true
	}
	g.metrics.heldBack.Inc()
	select {
	case <-relieved:
		return true
	case <-timeout:
		return false
	}
}

func (g *Registry) newBacklog() *ws.Backlog {
	return ws.NewBacklog(g.budget.Queues, maxBacklog, &g.congested)
}

// congested returns what to wait for before more is sent to the room; nil: nothing.
func (r *Room) congested() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.backlog == nil {
		return nil
	}
	return r.backlog.Congested()
}

// relief returns what is closed when the group's packets need not be held back any more; nil
// if they need not now.
func (g *Registry) relief(name group.Name) <-chan struct{} {
	g.mu.Lock()
	r := g.rooms[name]
	g.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.congested()
}
