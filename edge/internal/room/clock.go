package room

import (
	"strconv"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
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
}

func (c *clock) remove(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members.remove(m)
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
	frame := ws.Seal(ws.OpText, strconv.AppendInt(ws.Reserve(20), now.Unix(), 10))
	for _, m := range c.members {
		m.out.Send(frame)
	}
}
