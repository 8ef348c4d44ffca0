package session

import (
	"net/http"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// handle implements protocol.
func (c *session) handle(op ws.Opcode, message []byte) {
	if c.group == group.Lobby {
		c.handleInLobby(op, message)
	} else {
		c.handlePacket(op, message)
	}
}

var errBadJoin = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "cannot join: not a valid group name"}

// handleInLobby waits for "join:NAME".
func (c *session) handleInLobby(op ws.Opcode, message []byte) {
	name, ok := strings.CutPrefix(string(message), "join:")
	if !ok || op != ws.OpText {
		return
	}
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	g, err := group.Parse(name)
	if err != nil || g == group.Lobby {
		c.out.Close(errBadJoin)
		return
	}
	if err := c.by.May(access.Join, g); err != nil {
		c.out.Close(&ws.CloseError{Code: packet.ClosePolicyViolation, Reason: err.Error()})
		return
	}
	if err := c.join(c.server.base, g); err != nil {
		c.out.Close(&ws.CloseError{Code: packet.CloseTryAgainLater, Reason: "the group is unavailable now"})
	}
}

func (c *session) handlePacket(op ws.Opcode, message []byte) {
	p := packet.Classify(message)
	c.server.metrics.count(p.Kind)
	if again := c.permit.limits.Message(len(message)); again > 0 {
		c.tooFast(p.UUID, again)
		return
	}
	if !c.group.Publishable() && p.Kind != packet.Ping {
		return // the clock speaks, and answers pings
	}
	if kind, uuid, ok := p.Published(op != ws.OpBinary); ok {
		c.publish(kind, uuid, message)
		return
	}
	switch p.Kind {
	case packet.Ping:
		c.out.Send(ws.Seal(ws.OpText, packet.AppendPong(ws.Reserve(48+len(p.UUID)), p.UUID)))
	case packet.Query:
		c.query(p)
	case packet.BadUUID:
		c.refuse(p.UUID, http.StatusBadRequest, "a uuid is 1 to 128 bytes of printable text")
	case packet.Dropped:
	}
}

// publish sends a packet to the group, if the member may. It waits while too many
// publishes are pending. Result is what becomes of it.
func (c *session) publish(kind stream.Kind, uuid string, message []byte) {
	if c.publishDenied != nil {
		c.deny(uuid, c.publishDenied)
		return
	}
	if len(message) > c.maxBytes(c.group) {
		c.refuse(uuid, http.StatusRequestEntityTooLarge, tooLarge)
		return
	}
	if again := c.permit.limits.Publish(c.group); again > 0 {
		c.tooFast(uuid, again)
		return
	}
	one := room.Publish{Member: c.member, Group: c.group, Kind: kind, UUID: uuid}
	number, ok := c.members.Pending().Add(one, len(message))
	if !ok {
		return
	}
	p := c.publication(c.by, c.group, kind, uuid, message)
	p.Number = number
	p.Follow(c.server.base, c.server.opts.Tracer)
	c.server.publisher.Publish(p)
}

// Result implements relay.Sender. The room settles the publish; here refusals are
// counted. One with a time comes from Publish, and so on the reader's goroutine, as
// Refused wants it.
func (c *session) Result(p *relay.Publication, r relay.Result) {
	if r.Again > 0 && c.permit.limits.Refused() {
		defer c.out.Close(errFlood)
	}
	switch refused := c.members.Result(p, r); {
	case !refused:
	case p.Kind == stream.Message || r.Outcome == relay.Denied:
		c.refused(c.group, r.Outcome.Code(), r.Reason)
	default:
		c.server.metrics.lostBroadcasts.Inc()
	}
}

var errFlood = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "too many messages"}

// tooFast refuses a packet that came too soon, and ends a session that does not
// heed it.
func (c *session) tooFast(uuid string, again time.Duration) {
	const why = "too many messages"
	c.refused(c.group, http.StatusTooManyRequests, why)
	buf := ws.Reserve(128 + len(uuid))
	c.out.Send(ws.Seal(ws.OpText, packet.AppendTooMuch(buf, uuid, why, again.Milliseconds()+1)))
	if c.permit.limits.Refused() {
		c.out.Close(errFlood)
	}
}

// refuse sends command 7.
func (c *session) refuse(uuid string, code int, why string) {
	c.refused(c.group, code, why)
	buf := ws.Reserve(96 + len(uuid) + len(why))
	c.out.Send(ws.Seal(ws.OpText, packet.AppendError(buf, uuid, code, why)))
}
