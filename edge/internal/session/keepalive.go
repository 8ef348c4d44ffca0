package session

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// Seconds between two pings of a session. Sessions are spread over as many
	// buckets, one of which is visited each second: no session has a timer.
	pingEvery = 25
	// Seconds that a pinged peer has to send something, whatever it is.
	pongWithin = 10
)

var pingFrame = ws.Ping()

// Run pings the sessions and drops those whose peer is gone, until ctx ends. After
// that sessions go on; Drain ends them.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 0; ; second++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, c := range s.sessions.bucket(second) {
			c.ping()
		}
		for _, c := range s.sessions.bucket(second + pingEvery - pongWithin) {
			c.check()
		}
	}
}

// ping also has the reader of a session that is ending look at that: it may wait for
// publishes to be settled.
func (c *connection) ping() {
	c.pingedEnding = c.out.Cause() != nil
	if c.pingedEnding {
		c.members.Pending().Wake()
	}
	c.endUnfinished()
	c.conn.ResetReceived()
	c.out.Send(pingFrame)
}

var errUnfinished = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "a message was not completed in time"}

// endUnfinished ends a session whose message was not complete at the last ping, and is
// not yet: it holds memory.
func (c *connection) endUnfinished() {
	now := c.conn.Unfinished()
	if now != 0 && now == c.unfinished {
		c.out.Close(errUnfinished)
	}
	c.unfinished = now
}

// check drops a peer that has sent nothing since its ping. It also drops one that has been
// taking the rest of an ending connection since then. A peer is not silent while its
// session does not read.
func (c *connection) check() {
	if c.pingedEnding || !c.conn.Received() && !c.members.Pending().Full() && !c.holdsBack.Load() {
		c.out.Abort(ws.ErrGone)
	}
}
