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
	// maxHold is how long one publish is held back: a member that reads slowly does not
	// stop its room.
	maxHold = time.Second
)

// Publisher takes packets on their way to a group.
type Publisher interface {
	Publish(p *relay.Publication)
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

// Publish passes p on, after up to a second.
func (t *Throttle) Publish(p *relay.Publication) {
	t.rooms.holdBack(p.Group)
	t.next.Publish(p)
}

// HoldsBack reports whether a Throttle would hold a packet of the group back now.
func (g *Registry) HoldsBack(name group.Name) bool { return g.relief(name) != nil }

// relief returns what is closed when the group's packets need not be held back any more; nil
// if they need not now.
func (g *Registry) relief(name group.Name) <-chan struct{} {
	if g.congested.Load() == 0 {
		return nil
	}
	g.mu.Lock()
	r := g.rooms[name]
	g.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.congested()
}

func (g *Registry) holdBack(name group.Name) {
	relieved := g.relief(name)
	if relieved == nil {
		return
	}
	g.metrics.heldBack.Inc()
	timeout := time.NewTimer(maxHold)
	defer timeout.Stop()
	select {
	case <-relieved:
	case <-timeout.C:
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
