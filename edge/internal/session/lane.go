package session

import (
	"context"
	"net/http"

	v2 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v2"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// lane is what a connection knows of one group. Requests that name the group take effect in
// the order sent; lanes do not wait for each other. The lane of the group "" has the requests
// that name none. A connection's lock guards its lanes.
type lane struct {
	group group.Name
	// Its membership, from the beginning of the join on; nil: none.
	member  *room.Member
	joining bool

	// Requests that wait, and whether a goroutine serves them.
	waiting []*task
	busy    bool

	// Publishes that have gone to the relay and have no result yet; and what is closed when
	// there are none, nil: nothing waits for that.
	underWay int
	settled  chan struct{}
}

// task is a request in a lane.
type task struct {
	header.Request
	// Of the window of unanswered publishes, in which every request of a lane has a place.
	number uint32
	// Of a publish.
	publication *relay.Publication
}

// add puts a request of so many bytes into the lane of its group. It waits while too many
// are unanswered. The reader serves a request at once that waits for nothing; a
// goroutine serves the others.
func (c *multiplexed) add(t *task, bytes int) {
	pending := c.members.Pending()
	if t.Group != "" && !pending.MayAdd(t.Group, bytes) {
		c.refuse(&t.Request, header.Refusal{Code: http.StatusTooManyRequests, Msg: "too many requests of this group are unanswered"})
		return
	}
	one := room.Publish{Group: t.Group, Request: v2.Request(t.ID)}
	if t.publication != nil {
		one.Kind, one.UUID = t.publication.Kind, t.publication.UUID
	}
	var ok bool
	if t.number, ok = pending.Add(one, bytes); !ok {
		return // the connection is ending
	}
	atOnce := c.isQuick(t)
	c.mu.Lock()
	l := c.lane(t.Group)
	if atOnce && !l.busy {
		l.underWay++ // keeps the lane
		c.mu.Unlock()
		c.serve(c.server.base, l, t)
		c.mu.Lock()
		c.lessUnderWay(l)
		c.mu.Unlock()
		return
	}
	l.waiting = append(l.waiting, t)
	begin := !l.busy
	l.busy = true
	c.mu.Unlock()
	if begin {
		c.do(func(ctx context.Context) { c.serveLane(ctx, l) })
	}
}

// isQuick reports whether a request waits for nothing, once it has its turn.
func (c *multiplexed) isQuick(t *task) bool {
	switch t.Do {
	case header.Leave:
		return true
	case header.Publish:
		return !c.server.opts.PublishWaits(t.Group)
	default:
		return false
	}
}

// lane returns the lane of a group, new if need be. The caller holds the lock.
func (c *multiplexed) lane(g group.Name) *lane {
	l := c.lanes[g]
	if l == nil {
		l = &lane{group: g}
		c.lanes[g] = l
	}
	return l
}

// membership is a group that is joined.
type membership struct {
	lane   *lane
	member *room.Member
}

// memberships returns the groups that are joined. The caller holds the lock.
func (c *multiplexed) memberships() []membership {
	var all []membership
	for _, l := range c.lanes {
		if l.member != nil && !l.joining {
			all = append(all, membership{l, l.member})
		}
	}
	return all
}

// tidy forgets a lane that has nothing. The caller holds the lock.
func (c *multiplexed) tidy(l *lane) {
	if l.member == nil && !l.busy && l.underWay == 0 {
		delete(c.lanes, l.group)
	}
}

// serveLane serves the requests of a lane until none waits.
func (c *multiplexed) serveLane(ctx context.Context, l *lane) {
	for {
		c.mu.Lock()
		if len(l.waiting) == 0 {
			l.waiting, l.busy = nil, false
			c.tidy(l)
			c.mu.Unlock()
			return
		}
		t := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		c.mu.Unlock()
		if ctx.Err() != nil {
			c.settle(t, ws.Frame{}) // nobody reads the answer
			continue
		}
		c.serve(ctx, l, t)
	}
}

// serve does what a request asks for.
func (c *multiplexed) serve(ctx context.Context, l *lane, t *task) {
	switch t.Do {
	case header.Join:
		c.join(ctx, l, t)
	case header.Leave:
		c.leave(l, t)
	case header.Publish:
		c.send(l, t)
	case header.Recall:
		c.recall(ctx, l, t)
	case header.History:
		c.history(ctx, l, t)
	case header.Token:
		c.renew(ctx, t)
	case header.Ping, header.Unknown: // not in lanes
	}
}

// settle answers a request with a frame, or the zero Frame.
func (c *multiplexed) settle(t *task, answer ws.Frame) { c.members.Pending().Settle(t.number, answer) }

// settleRefused answers a request that is refused.
func (c *multiplexed) settleRefused(t *task, why header.Refusal) {
	c.refused(t.Group, why.Code, why.Msg)
	c.settle(t, v2.Refusal(v2.Request(t.ID), why))
}

// send publishes a packet. Result is what becomes of it.
func (c *multiplexed) send(l *lane, t *task) {
	p := t.publication
	p.Number = t.number
	c.mu.Lock()
	l.underWay++
	member := l.member
	c.mu.Unlock()
	if member != nil {
		c.members.Pending().Assign(p.Number, member)
	}
	p.Follow(c.server.base, c.server.opts.Tracer)
	c.server.publisher.Publish(p)
}

// landed: a publish to the group has its result.
func (c *multiplexed) landed(g group.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lessUnderWay(c.lanes[g])
}

// lessUnderWay needs the lock.
func (c *multiplexed) lessUnderWay(l *lane) {
	l.underWay--
	if l.underWay == 0 && l.settled != nil {
		close(l.settled)
		l.settled = nil
	}
	c.tidy(l)
}

// awaitPublishes waits until the publishes of a lane have their results, so that what
// comes after them finds their messages.
func (c *multiplexed) awaitPublishes(ctx context.Context, l *lane) {
	c.mu.Lock()
	if l.underWay == 0 {
		c.mu.Unlock()
		return
	}
	if l.settled == nil {
		l.settled = make(chan struct{})
	}
	settled := l.settled
	c.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
}
