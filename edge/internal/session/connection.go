package session

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/refusals"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

var (
	errGoingAway = &ws.CloseError{Code: packet.CloseGoingAway, Reason: "the server is going down"}
	errReplaced  = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "too many connections of this user: a newer one replaced this one"}
)

// protocol is what a connection speaks. It gets the results of its publishes.
type protocol interface {
	relay.Sender
	// begin is called before the first message; the connection is open.
	begin()
	// handle does what a message asks for. The message is the reader's, and valid only
	// until handle returns.
	handle(op ws.Opcode, message []byte)
	// end leaves all groups. It is called after the last message, or if the connection was
	// not opened.
	end()
	// inGroup returns the group that the connection is in, for logs; "": there may be many.
	inGroup() group.Name
}

// connection is one WebSocket, whatever protocol it speaks: what admission, keepalive,
// draining and operators see of it.
type connection struct {
	server *Server
	speaks protocol
	id     uint32
	out    *ws.Outbox
	// What its members and its publishes share.
	members *room.Conn
	// Who has opened it.
	by *access.Identity
	// Of the client.
	address string
	// Of its admission.
	permit *permit

	// The reader's, after start.
	conn *ws.Conn
	// Since when it is open, and what has come from the peer.
	began             time.Time
	messages, inBytes uint64

	// The reader does not read, as the peer does not.
	holdsBack atomic.Bool
	// It was ending when it was last pinged, and the message that was not complete then;
	// keepalive's own.
	pingedEnding bool
	unfinished   uint32
	// Goroutines that the session waits for, and what ends them; the reader's.
	tasks    sync.WaitGroup
	taskBase context.Context //nolint:containedctx // the lifetime of the session's tasks
	endTasks context.CancelFunc
	// When it ends because of its credential.
	expiry expiry
}

// connect makes c a connection of s that speaks a protocol. Of o, Dialect and Left count.
func (s *Server) connect(c *connection, p *permit, by *access.Identity, speaks protocol, o room.ConnOptions) {
	c.server, c.speaks, c.permit, c.id, c.by = s, speaks, p, s.sessions.newID(), by
	c.out = ws.NewOutbox(p.queue, s.flusher)
	o.Session, o.Client, o.Out, o.Window = c.id, p.limits.Key(), c.out, s.opts.Window
	c.members = s.rooms.NewConn(o)
}

// goAway takes nothing more, and ends the session once its publishes are settled.
func (c *connection) goAway() { c.members.Pending().Finish(errGoingAway) }

// giveWay does the same for a newer connection of its user.
func (c *connection) giveWay() { c.members.Pending().Finish(errReplaced) }

// run is the connection's goroutine.
func (c *connection) run() {
	defer c.server.forget(c)
	c.limitInput()
	c.expiry.set(c.by.Expires(), c.out)
	c.speaks.begin()
	c.members.Start(c.server.base)
	var err error
	for err == nil {
		err = c.conn.Read(c.read)
	}
	c.speaks.end()
	cause := c.endedBy(err)
	c.expiry.stop()
	c.members.Close()
	if c.endTasks != nil {
		c.endTasks()
	}
	c.conn.Finish(err)
	c.tasks.Wait()
	c.members.Wait()
	c.report(cause)
}

// read takes a message, unless it is to be ignored.
func (c *connection) read(op ws.Opcode, message []byte) {
	c.messages++
	c.inBytes += uint64(len(message))
	if !c.ending() {
		c.speaks.handle(op, message)
	}
}

// ending reports whether what comes from the peer is to be ignored.
func (c *connection) ending() bool { return c.members.Pending().Finishing() || c.out.Cause() != nil }

// inputPatience is how long a large message may wait for its part of the budget. TCP
// slows its sender meanwhile.
const inputPatience = 5 * time.Second

// limitInput bounds what comes in beside whole messages.
func (c *connection) limitInput() {
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

// publication returns a packet of the caller for a group, on its way to the relay. It copies
// the packet.
func (c *connection) publication(by *access.Identity, g group.Name, kind stream.Kind, uuid string, packet []byte) *relay.Publication {
	return &relay.Publication{
		Group: g, Kind: kind, UUID: uuid, Payload: bytes.Clone(packet),
		Author: by.Author(), By: by.By(), User: by.Name(), Client: c.permit.limits.Key(), Session: c.id, From: c.speaks,
	}
}

// tooLarge is why a packet is refused that has more than maxBytes.
const tooLarge = "larger than this group allows"

// maxBytes is the size of the largest packet of a group.
func (c *connection) maxBytes(g group.Name) int {
	return c.server.opts.Groups.Of(g).MaxBytes(c.permit.maxMessage)
}

// do runs a task that ends with the session. Only the reader calls it.
func (c *connection) do(task func(context.Context)) {
	if c.taskBase == nil {
		c.taskBase, c.endTasks = context.WithCancel(c.server.base)
	}
	c.tasks.Go(func() { task(c.taskBase) })
}

// endedBy is why the connection ends: what we decided, or else what the reader
// met.
func (c *connection) endedBy(err error) error {
	if cause := c.out.Cause(); cause != nil {
		return cause
	}
	return err
}

// report logs and counts the end.
func (c *connection) report(cause error) {
	reason := endOf(cause)
	c.server.metrics.ended(reason)
	if reason.refuses() {
		c.server.opts.Refused.Add(refusals.Refusal{
			What: "websocket", Code: code(cause), Reason: cause.Error(), Group: string(c.speaks.inGroup()), User: c.by.Name(), Address: c.address,
		})
	}
	level := endLevel(reason, c.server.admission.reloadable.Load().logEnds)
	if !c.server.log.Enabled(c.server.base, level) {
		return
	}
	frames, bytes := c.out.Written()
	c.server.log.Log(c.server.base, level, "session ended",
		"session", c.id, "group", c.speaks.inGroup(), "address", c.address, "user", c.by.Name(), "reason", reason, "code", code(cause), "cause", cause,
		"duration", time.Since(c.began).Round(time.Millisecond),
		"messages_in", c.messages, "bytes_in", c.inBytes, "frames_out", frames, "bytes_out", bytes)
}

// refused counts and remembers a packet or a request that is refused.
func (c *connection) refused(g group.Name, code int, why string) {
	c.server.metrics.refuse(code)
	c.server.opts.Refused.Add(refusals.Refusal{
		What: "packet", Code: code, Reason: why, Group: string(g), User: c.by.Name(), Address: c.address,
	})
}
