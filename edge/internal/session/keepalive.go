package session

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

const (
	// Seconds between two pings of a session. Sessions are spread over as many
	// buckets, one of which is visited each second: no session has a timer.
	pingEvery = 25
	// Seconds that a pinged peer has to send something, whatever it is.
	pongWithin = 10
)

var pingFrame = ws.Ping()

// Run pings the sessions and drops those whose peer is not there any more, until
// ctx ends. After that sessions go on; Drain ends them.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 0; ; second++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, c := range s.visit(second) {
			c.ping()
		}
		for _, c := range s.visit(second + pingEvery - pongWithin) {
			c.check()
		}
	}
}

// visit returns the sessions of a second's bucket.
func (s *Server) visit(second int) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket := s.buckets[second%pingEvery]
	sessions := make([]*session, 0, len(bucket))
	for _, c := range bucket {
		sessions = append(sessions, c)
	}
	return sessions
}

func (c *session) ping() {
	c.ending = c.out.Cause() != nil
	c.conn.ClearHeard()
	c.out.Send(pingFrame)
}

// check drops a peer that has not sent anything since its ping, and one that
// takes what is left so slowly that it does not come to an end.
func (c *session) check() {
	if c.ending || !c.conn.Heard() {
		c.out.Abort(ws.ErrGone)
	}
}
