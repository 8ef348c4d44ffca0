package session

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// handle does what a message asks for. The message is the reader's and valid
// only until handle returns.
func (c *session) handle(op ws.Opcode, message []byte) {
	c.messages++
	c.inBytes += uint64(len(message))
	switch {
	case c.deaf():
	case c.group == group.Lobby:
		c.handleInLobby(op, message)
	default:
		c.handlePacket(op, message)
	}
}

var errBadJoin = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "no such group can be joined"}

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
		c.out.Close(&ws.CloseError{Code: packet.CloseTryAgainLater, Reason: "the group cannot be had now"})
		return
	}
	c.resume()
}

func (c *session) handlePacket(op ws.Opcode, message []byte) {
	p := packet.Classify(message)
	c.server.metrics.count(p.Kind)
	if again := c.guest.Message(len(message)); again > 0 {
		c.tooFast(p.UUID, again)
		return
	}
	if !c.group.Publishable() && p.Kind != packet.Ping {
		return // the clock speaks, and answers pings
	}
	switch p.Kind {
	case packet.Data:
		c.publish(stream.Message, p.UUID, message)
	case packet.Receipt, packet.Low:
		c.publish(lowKind(op), "", message)
	case packet.Ping:
		c.out.Send(ws.Seal(ws.OpText, packet.AppendPong(ws.Reserve(48+len(p.UUID)), p.UUID)))
	case packet.Query:
		c.query(p)
	case packet.BadUUID:
		c.refuse(p.UUID, http.StatusBadRequest, "a uuid is 1 to 128 bytes of printable text")
	case packet.Dropped:
	}
}

func lowKind(op ws.Opcode) stream.Kind {
	if op == ws.OpBinary {
		return stream.Binary
	}
	return stream.Text
}

// publish sends a packet to the group, if the member may. It waits while too much
// is unanswered.
func (c *session) publish(kind stream.Kind, uuid string, message []byte) {
	if c.mute != nil {
		c.deny(uuid, c.mute)
		return
	}
	if again := c.guest.Publish(c.group); again > 0 {
		c.tooFast(uuid, again)
		return
	}
	size := len(message)
	if !c.enter(size) {
		return
	}
	c.published++
	number := c.published
	p := &relay.Publication{
		Group: c.group, Kind: kind, UUID: uuid, Payload: bytes.Clone(message),
		Author: c.by.Author(), User: c.by.Name(), Session: c.id, Number: number,
		Done: func(r relay.Receipt) {
			c.exit(size, c.answer(number, kind, uuid, r))
		},
	}
	p.Follow(c.server.base, c.server.opts.Tracer)
	c.server.publisher.Publish(p)
}

// answer tells the peer what became of its packet of that number, where the room does not. It
// returns whether an ack has come or will.
func (c *session) answer(number uint32, kind stream.Kind, uuid string, r relay.Receipt) (stored bool) {
	if kind != stream.Message {
		// There is no uuid to answer with: broadcasts are at most once.
		switch r.Outcome {
		case relay.Accepted:
		case relay.Denied:
			c.refuse("", r.Outcome.Code(), r.Reason)
		default:
			c.server.metrics.lostBroadcasts.Inc()
		}
		return false
	}
	switch r.Outcome {
	case relay.Accepted:
		c.server.rooms.Stored(c.member, r.Epoch, r.Seq)
		return true // the ack comes in the message's place
	case relay.Duplicate:
		if c.server.rooms.AckAfter(c.member, number, r, uuid) {
			return true
		}
		c.refuse(uuid, http.StatusGatewayTimeout, "too many acks wait: send it again")
	default:
		c.refuse(uuid, r.Outcome.Code(), r.Reason)
	}
	return false
}

var errFlood = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "too many messages"}

// tooFast refuses a packet that came too soon, and ends a session that does not
// heed it.
func (c *session) tooFast(uuid string, again time.Duration) {
	c.server.metrics.refuse(http.StatusTooManyRequests)
	const why = "too many messages"
	buf := ws.Reserve(128 + len(uuid))
	c.out.Send(ws.Seal(ws.OpText, packet.AppendTooMuch(buf, uuid, why, again.Milliseconds()+1)))
	if c.guest.Strike() {
		c.out.Close(errFlood)
	}
}

// refuse sends command 7.
func (c *session) refuse(uuid string, code int, why string) {
	c.server.metrics.refuse(code)
	buf := ws.Reserve(96 + len(uuid) + len(why))
	c.out.Send(ws.Seal(ws.OpText, packet.AppendError(buf, uuid, code, why)))
}
