package eventstream

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/dialect/sse"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

const (
	// commentEvery is how often a stream gets a comment.
	commentEvery = 15 * time.Second
	// endPatience is how long a client may take for what waits when its stream ends.
	endPatience = 10 * time.Second
	// joinTimeout is how long a join may take.
	joinTimeout = 2 * time.Second
)

// The ends of streams. Their codes are those of HTTP.
var (
	errGoingDown = &ws.CloseError{Code: http.StatusServiceUnavailable, Reason: "the server is going down"}
	errExpired   = &ws.CloseError{Code: http.StatusUnauthorized, Reason: "token expired"}
	errReplaced  = &ws.CloseError{Code: http.StatusTooManyRequests, Reason: "too many connections of this user: a newer one replaced this one"}
	errNoGroup   = &ws.CloseError{Code: http.StatusServiceUnavailable, Reason: "the group is unavailable now"}
	errSlow      = &ws.CloseError{Code: http.StatusServiceUnavailable, Reason: ws.ErrSlowConsumer.Reason}
)

// connection is a stream or a long poll.
type connection struct {
	server  *Server
	by      *access.Identity
	limits  *limit.Connection
	address string
	began   time.Time
	out     *ws.Outbox
	// Closed when the server has ended the stream.
	ended   chan struct{}
	options room.ConnOptions
	// nil until start.
	members *room.Conn
	// What ends it with its credential; nil: nothing.
	expiry *time.Timer
	// Is called when a room has ended a membership; may be nil.
	onLeft func(m *room.Member)
}

// last ends the stream, and returns its last event.
func (c *connection) last(cause *ws.CloseError) ws.Frame {
	close(c.ended)
	if cause == ws.ErrSlowConsumer {
		cause = errSlow
	}
	c.server.ends.WithLabelValues(strconv.Itoa(cause.Code)).Inc()
	return ws.Raw(sse.End(cause.Code, cause.Reason, 0))
}

func (c *connection) left(m *room.Member) {
	if c.onLeft != nil {
		c.onLeft(m)
	}
}

// start begins to write to a sink.
func (c *connection) start(ctx context.Context, to ws.Sink) {
	c.members = c.server.rooms.NewConn(c.options)
	c.out.Start(to)
	c.members.Start(ctx)
	c.limits.Open(func() { c.out.Close(errReplaced) })
	if at := c.by.Expires(); !at.IsZero() {
		c.expiry = time.AfterFunc(time.Until(at), func() { c.out.Close(errExpired) })
	}
}

// end ends the connection, and waits until nothing uses its sink any more.
func (c *connection) end(members ...*room.Member) {
	defer c.server.forget(c)
	if c.members == nil {
		return
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.members.Close()
	for _, m := range members {
		c.server.rooms.LeaveFollowed(m)
	}
	select {
	case <-c.ended: // the client may still take what waits
		_ = c.out.Cause() // the last event is queued now: Close has let go of the lock
	default:
		c.out.Abort(ws.ErrGone)
		c.server.ends.WithLabelValues("0").Inc()
	}
	cut := time.AfterFunc(endPatience, func() { c.out.Abort(ws.ErrSlowConsumer) })
	c.out.Wait()
	cut.Stop()
	c.members.Wait()
}

// join makes m a member, and reports whether it is one.
func (c *connection) join(ctx context.Context, g group.Name, m *room.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	return c.server.rooms.JoinAnswered(ctx, g, m) == nil
}

// show has operators see the connection as a session. hide must follow.
func (c *connection) show() (hide func()) {
	id := c.server.sessions.AddStream(session.Stream{
		User: c.by.Name(), Address: c.address, Since: c.began, Queued: c.out.Queued,
	})
	c.options.Session = id
	return func() { c.server.sessions.RemoveStream(id) }
}

// refused remembers what is refused.
func (s *Server) refused(r *http.Request, by *access.Identity, g group.Name, why *header.Refusal) {
	s.opts.Refused.Add(refusals.Refusal{
		What: "stream", Code: why.Code, Reason: why.Msg, Group: string(g), User: by.Name(), Address: s.opts.Limits.Address(r),
	})
}
