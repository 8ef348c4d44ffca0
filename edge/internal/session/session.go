package session

import (
	"context"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var errGoingAway = &ws.CloseError{Code: packet.CloseGoingAway, Reason: "the server is going down"}

// session is one connection.
type session struct {
	server *Server
	id     uint32
	out    *ws.Outbox
	// Who it is, and when it ends because of that; nil: never.
	by     *access.Identity
	expiry *time.Timer
	// Of ?after=; "": from now on.
	after string

	// What it may have and send.
	guest *limit.Guest

	// The reader's, after start.
	conn *ws.Conn
	// Lobby until it has joined.
	group  group.Name
	member *room.Member
	// Nothing, or why the member may not publish to its group.
	mute error
	// Publishes so far.
	published uint32
	// Since when it is open, and what has come from the peer.
	began             time.Time
	messages, inBytes uint64

	// It was ending when it was last pinged; keepalive's own.
	ending bool
	// Goroutines that the session waits for.
	tasks sync.WaitGroup

	mu     sync.Mutex
	window window
	// The one being answered, and those that wait.
	queries []packet.Packet
	// The server goes down: nothing is taken any more, and the session ends
	// when all is answered.
	leaving bool
}

func (s *Server) newSession(id uint32, name group.Name, by *access.Identity, after string) *session {
	return &session{server: s, id: id, by: by, group: name, after: after, out: ws.NewOutbox(s.door.Load().queue, s.flusher)}
}

// join makes the session a member of a group, or of the clock.
func (c *session) join(ctx context.Context, name group.Name) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	after, unread := c.after, error(nil)
	if name == group.Timer {
		after = ""
	}
	if after != "" {
		if unread = c.by.May(access.Read, name); unread != nil {
			after = ""
		}
	}
	m := room.NewMember(c.id, c.out, after, c.acked)
	if err := c.server.rooms.Join(ctx, name, m); err != nil {
		return err
	}
	c.group, c.member, c.mute = name, m, c.by.May(access.Publish, name)
	if unread != nil {
		c.deny("", unread) // what was missed will not come: this is not silent
	}
	return nil
}

func (c *session) leave() {
	if c.member != nil {
		c.server.rooms.Leave(c.member)
	}
}

// run is the session's goroutine.
func (c *session) run() {
	defer c.server.forget(c)
	c.began = time.Now()
	c.expire()
	c.resume()
	var err error
	for err == nil {
		err = c.conn.Read(c.handle)
	}
	c.leave()
	cause := c.endedBy(err)
	c.unexpire()
	c.conn.Finish(err)
	c.tasks.Wait() // those that wait for the outbox know that it has ended
	c.report(cause)
}

// resume lets a member that asked for it catch up, while the reader reads on.
func (c *session) resume() {
	if c.member != nil && c.member.Resumes() {
		c.do(func(ctx context.Context) { c.server.rooms.CatchUp(ctx, c.member) })
	}
}

// do runs a task that ends with the session's outbox. Only the reader calls it.
func (c *session) do(task func(context.Context)) {
	c.tasks.Go(func() { task(c.server.base) })
}

// endedBy is why the connection ends: what we decided, or else what the reader
// met.
func (c *session) endedBy(err error) error {
	if cause := c.out.Cause(); cause != nil {
		return cause
	}
	return err
}

// report logs and counts the end.
func (c *session) report(cause error) {
	reason := endOf(cause)
	c.server.metrics.ended(reason)
	level := endLevel(reason, c.server.door.Load().logEnds)
	if !c.server.log.Enabled(c.server.base, level) {
		return
	}
	frames, bytes := c.out.Written()
	c.server.log.Log(c.server.base, level, "session ended",
		"session", c.id, "group", c.group, "reason", reason, "code", code(cause), "cause", cause,
		"duration", time.Since(c.began).Round(time.Millisecond),
		"messages_in", c.messages, "bytes_in", c.inBytes, "frames_out", frames, "bytes_out", bytes)
}
