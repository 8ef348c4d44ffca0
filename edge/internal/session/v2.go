package session

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	v2 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v2"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// protocolV2 may have a header in front of each packet, and the line feed between.
var protocolV2 = ws.Subprotocol{Name: header.Protocol, Header: header.MaxSize + 1}

// features are what this edge and its history services have beyond join, leave, publish,
// token and ping: other requests.
var features = []string{header.History.String(), header.Recall.String()}

// multiplexed is a connection that speaks gotapi.v2: it may be in many groups.
type multiplexed struct {
	connection
	// Who its client is since the last request token.
	caller atomic.Pointer[access.Identity]
	// Has one element while a page of history is on its way.
	paging chan struct{}

	mu sync.Mutex
	// Of the groups that it is in, or that have requests.
	lanes map[group.Name]*lane
	// How many groups it is in, or joins.
	joined int
	// It has left all groups.
	ended bool
}

// ServeV2 upgrades a request for a connection that speaks gotapi.v2, and is in no group
// yet, or refuses it as ServeHTTP does.
func (s *Server) ServeV2(w http.ResponseWriter, r *http.Request, by *access.Identity) {
	if !protocolV2.IsOffered(r) {
		httpjson.WriteError(w, http.StatusBadRequest, "this path needs the WebSocket subprotocol "+protocolV2.Name)
		return
	}
	p := s.admission.admit(w, r, by.Name())
	if p == nil {
		return
	}
	c := &multiplexed{paging: make(chan struct{}, 1), lanes: make(map[group.Name]*lane)}
	c.caller.Store(by)
	s.connect(&c.connection, p, by, c, room.ConnOptions{Dialect: v2.Dialect, Left: c.left})
	c.out.Send(v2.Hello(&header.Hello{
		Features: features, User: userOf(by), Session: c.id, ExpiresIn: expiresIn(by),
		MaxMessage: p.maxMessage, MaxGroups: s.opts.MaxGroups, Ping: pingEvery,
	}))
	s.open(w, r, &c.connection, protocolV2)
}

// userOf returns the name of a user; "": the caller is none.
func userOf(by *access.Identity) string {
	if who := by.By(); !who.Key {
		return who.Name
	}
	return ""
}

// expiresIn is in how many seconds a credential ends; 0: never.
func expiresIn(by *access.Identity) int64 {
	if by.Expires().IsZero() {
		return 0
	}
	return max(1, int64(time.Until(by.Expires()).Seconds()))
}

// begin implements protocol.
func (c *multiplexed) begin() {}

// inGroup implements protocol.
func (c *multiplexed) inGroup() group.Name { return "" }

// end implements protocol. Joins that are under way notice it when they are done.
func (c *multiplexed) end() {
	c.mu.Lock()
	c.ended = true
	all := c.memberships()
	c.mu.Unlock()
	for _, one := range all {
		c.server.rooms.Leave(one.member)
	}
}

// handle implements protocol.
func (c *multiplexed) handle(op ws.Opcode, message []byte) {
	if !c.awaitPeer() {
		return
	}
	r, err := header.ParseRequest(message)
	c.server.metrics.countRequest(r.Do)
	if len(message) > c.permit.maxMessage {
		if _, body, _ := header.Split(message); len(body) > c.permit.maxMessage {
			c.out.Close(ws.ErrTooBig)
			return
		}
	}
	if err != nil || r.Do != header.Join { // joins have a limit of their own, and wait for it
		if again := c.permit.limits.Message(len(message)); again > 0 {
			c.tooFast(&r, again)
			return
		}
	}
	switch {
	case err != nil:
		c.refuseBad(&r, err.Error())
	case r.Do == header.Ping:
		if f := v2.OK(v2.Request(r.ID)); !f.IsZero() {
			c.out.Send(f)
		}
	case r.Do == header.Publish:
		c.publish(op, &r)
	default:
		c.add(&task{Request: r}, len(message))
	}
}

// awaitPeer waits while the peer does not read what is for it: answers may not pile up. It
// reports whether the connection goes on.
func (c *multiplexed) awaitPeer() bool {
	c.holdsBack.Store(true)
	defer c.holdsBack.Store(false)
	return c.out.Await(c.server.base) == nil
}

// publish lets a packet take its place in the lane of its group, if it may be published
// at all.
func (c *multiplexed) publish(op ws.Opcode, r *header.Request) {
	by := c.caller.Load()
	p := packet.Classify(r.Packet)
	c.server.metrics.count(p.Kind)
	kind, uuid, ok := p.Published(op != ws.OpBinary)
	switch denied := by.May(access.Publish, r.Group); {
	case !r.Group.Publishable():
		c.refuse(r, header.Refusal{Code: http.StatusForbidden, Msg: "only the server speaks in this group"})
		return
	case denied != nil:
		c.refuse(r, *denial(denied))
		return
	case len(r.Packet) > c.maxBytes(r.Group):
		c.refuse(r, header.Refusal{Code: http.StatusRequestEntityTooLarge, Msg: tooLarge})
		return
	case !ok:
		c.refuse(r, header.Refusal{Code: http.StatusBadRequest, Msg: whyNotPublished(p.Kind)})
		return
	}
	if again := c.permit.limits.Publish(r.Group); again > 0 {
		c.tooFast(r, again)
		return
	}
	one := c.publication(by, r.Group, kind, uuid, r.Packet)
	r.Packet = nil // it is the reader's
	c.add(&task{Request: *r, publication: one}, len(one.Payload))
}

// whyNotPublished is for the client: packets are classified as over HTTP.
func whyNotPublished(k packet.Kind) string {
	switch k {
	case packet.BadUUID:
		return "a uuid is 1 to 128 bytes of printable text"
	case packet.Ping, packet.Query:
		return "this command belongs to the first protocol: use the requests ping and history"
	default:
		return "only the server sends packets of type 1, but for the commands 3 and 4"
	}
}

// Result implements relay.Sender. The room answers the publish; here refusals are counted.
func (c *multiplexed) Result(p *relay.Publication, r relay.Result) {
	if r.Again > 0 && c.permit.limits.Refused() {
		defer c.out.Close(errFlood)
	}
	if c.members.Result(p, r) {
		c.refused(p.Group, r.Outcome.Code(), r.Reason)
	}
	c.landed(p.Group)
}

// tooFast refuses a request that came too soon, and ends a connection that does not heed
// it.
func (c *multiplexed) tooFast(r *header.Request, again time.Duration) {
	c.refuse(r, header.Refusal{Code: http.StatusTooManyRequests, Msg: "too many messages", RetryAfter: again.Milliseconds() + 1})
	if c.permit.limits.Refused() {
		c.out.Close(errFlood)
	}
}

// refuseBad refuses a message that is no request. Without an id it gets an event, as its
// sender would not find the fault otherwise.
func (c *multiplexed) refuseBad(r *header.Request, why string) {
	if r.ID.Set {
		c.refuse(r, header.Refusal{Code: http.StatusBadRequest, Msg: why})
		return
	}
	c.refused(r.Group, http.StatusBadRequest, why)
	c.out.Send(v2.Error(http.StatusBadRequest, why))
}

// refuse answers a request that did not get into a lane.
func (c *multiplexed) refuse(r *header.Request, why header.Refusal) {
	c.refused(r.Group, why.Code, why.Msg)
	if f := v2.Refusal(v2.Request(r.ID), why); !f.IsZero() {
		c.out.Send(f)
	}
}
