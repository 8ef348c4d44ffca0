package session

import (
	"context"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	v1 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v1"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var (
	errGoingAway = &ws.CloseError{Code: packet.CloseGoingAway, Reason: "the server is going down"}
	errReplaced  = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "too many connections of this user: a newer one replaced this one"}
	errNoJoin    = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "no group was joined: this is the lobby (path /), which waits for join:NAME"}
)

// lobbyTime is how long a session may be in the lobby.
const lobbyTime = time.Minute

// session is one connection.
type session struct {
	server *Server
	id     uint32
	out    *ws.Outbox
	// What its member and its publishes share.
	room *room.Conn
	// Who it is, and when it ends because of that; nil: never.
	by     *access.Identity
	expiry *time.Timer
	// Of ?after=; "": from now on.
	after string
	// Ends a session that stays in the lobby; nil: it began in a group.
	lobby *time.Timer
	// Of the client.
	address string

	// Of its admission.
	permit *permit

	// The reader's, after start.
	conn *ws.Conn
	// Lobby until it has joined.
	group  group.Name
	member *room.Member
	// nil, or why the member may not publish to its group.
	publishDenied error
	// Since when it is open, and what has come from the peer.
	began             time.Time
	messages, inBytes uint64

	// It was ending when it was last pinged, and the message that was not complete then;
	// keepalive's own.
	pingedEnding bool
	unfinished   uint32
	// Goroutines that the session waits for, and what ends them; the reader's.
	tasks    sync.WaitGroup
	taskBase context.Context //nolint:containedctx // the lifetime of the session's tasks
	endTasks context.CancelFunc

	mu sync.Mutex
	// The one being answered, and those that wait.
	queries []packet.Packet
}

func (s *Server) newSession(p *permit, name group.Name, by *access.Identity, after string) *session {
	out, id := ws.NewOutbox(p.queue, s.flusher), s.sessions.newID()
	return &session{
		server: s, permit: p, id: id, by: by, group: name, after: after, out: out,
		room: s.rooms.NewConn(room.ConnOptions{
			Session: id, Client: p.limits.Key(), Dialect: v1.Dialect, Out: out, Window: s.opts.Window,
		}),
	}
}

// goAway takes nothing more, and ends the session once its publishes are settled.
func (c *session) goAway() { c.room.Pending().Finish(errGoingAway) }

// giveWay does the same for a newer connection of its user.
func (c *session) giveWay() { c.room.Pending().Finish(errReplaced) }

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
	m := c.room.NewMember(room.Start{AfterUUID: after})
	if err := c.server.rooms.Join(ctx, name, m); err != nil {
		return err
	}
	c.exitLobby()
	c.group, c.member, c.publishDenied = name, m, c.by.May(access.Publish, name)
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
	c.limitInput()
	c.expire()
	c.enterLobby()
	c.room.Start(c.server.base)
	var err error
	for err == nil {
		err = c.conn.Read(c.handle)
	}
	c.leave()
	cause := c.endedBy(err)
	c.unexpire()
	c.exitLobby()
	c.room.Close()
	if c.endTasks != nil {
		c.endTasks()
	}
	c.conn.Finish(err)
	c.tasks.Wait()
	c.room.Wait()
	c.report(cause)
}

// enterLobby ends the session if it joins no group in time.
func (c *session) enterLobby() {
	if c.group == group.Lobby {
		c.lobby = time.AfterFunc(lobbyTime, func() { c.out.Close(errNoJoin) })
	}
}

func (c *session) exitLobby() {
	if c.lobby != nil {
		c.lobby.Stop()
	}
}

// inputPatience is how long a large message may wait for its part of the budget. TCP
// slows its sender meanwhile.
const inputPatience = 5 * time.Second

// limitInput bounds what comes in beside whole messages.
func (c *session) limitInput() {
	if limits := c.permit.limits; limits.CountsMessages() {
		c.conn.CountFrames(func(frames int) error {
			if limits.Frames(frames) {
				return errFlood
			}
			return nil
		})
	}
	c.conn.LimitMessages(func() (release func(), ok bool) {
		held, ok := c.server.opts.Budget.Inputs.Acquire(c.server.base, c.permit.limits.Key(),
			2*int64(c.permit.maxMessage), inputPatience) // a buffer that grows has up to twice the size
		return held.Release, ok
	})
}

// do runs a task that ends with the session. Only the reader calls it.
func (c *session) do(task func(context.Context)) {
	if c.taskBase == nil {
		c.taskBase, c.endTasks = context.WithCancel(c.server.base)
	}
	c.tasks.Go(func() { task(c.taskBase) })
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
	if reason.refuses() {
		c.server.opts.Refused.Add(refusals.Refusal{
			What: "websocket", Code: code(cause), Reason: cause.Error(), Group: string(c.group), User: c.by.Name(), Address: c.address,
		})
	}
	level := endLevel(reason, c.server.admission.reloadable.Load().logEnds)
	if !c.server.log.Enabled(c.server.base, level) {
		return
	}
	frames, bytes := c.out.Written()
	c.server.log.Log(c.server.base, level, "session ended",
		"session", c.id, "group", c.group, "address", c.address, "user", c.by.Name(), "reason", reason, "code", code(cause), "cause", cause,
		"duration", time.Since(c.began).Round(time.Millisecond),
		"messages_in", c.messages, "bytes_in", c.inBytes, "frames_out", frames, "bytes_out", bytes)
}
