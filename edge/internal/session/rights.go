package session

import (
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var errExpired = &ws.CloseError{Code: packet.CloseExpired, Reason: "token expired"}

// expiry ends a connection when its credential expires. Members of the first protocol come
// back with a new one, and resume with ?after=.
type expiry struct {
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// set has the connection behind out end then; zero: never. It replaces what was set.
func (e *expiry) set(at time.Time, out *ws.Outbox) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	if !at.IsZero() && !e.stopped {
		e.timer = time.AfterFunc(time.Until(at), func() { out.Close(errExpired) })
	}
}

// stop has the connection not end any more.
func (e *expiry) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	if e.timer != nil {
		e.timer.Stop()
	}
}

// deny answers with command 7 what package access refused.
func (c *session) deny(uuid string, err error) {
	code, why := access.Refusal(err)
	c.refuse(uuid, code, why)
}
