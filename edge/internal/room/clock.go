package room

import (
	"strconv"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// clock is the group /timer: its members get the time, and nothing else.
type clock struct {
	mu      sync.Mutex
	members roster
}

func (c *clock) add(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members.add(m)
	m.push(m.conn.Dialect.Joined(&Joined{Group: group.Timer, Request: m.catch.start.Request}))
	m.state, m.catch = live, nil
}

func (c *clock) remove(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.state == live {
		c.members.remove(m)
		m.state = left
	}
}

func (c *clock) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members)
}

// tick sends every member the time, in whole seconds.
func (c *clock) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.members) == 0 {
		return
	}
	d := delivery{Event: Event{
		Event: &stream.Event{Kind: stream.Text, Payload: strconv.AppendInt(nil, now.Unix(), 10)}, Group: group.Timer,
	}}
	for _, m := range c.members {
		m.out.Offer(m.share(), []ws.Frame{d.frame(m)}, 0, false) // one that is far behind misses a second
	}
}

func (c *clock) end(m *Member, why *Refusal) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.state == left {
		return false
	}
	last, end := m.conn.Dialect.Left(group.Timer, why)
	if end != nil {
		m.end(last, end)
		return false
	}
	c.members.remove(m)
	m.state = left
	m.push(last)
	return true
}
