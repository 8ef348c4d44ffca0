package session

import (
	"context"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	v1 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v1"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

var errNoJoin = &ws.CloseError{Code: packet.ClosePolicyViolation, Reason: "no group was joined: this is the lobby (path /), which waits for join:NAME"}

// lobbyTime is how long a session may be in the lobby.
const lobbyTime = time.Minute

// session is a connection that speaks the first protocol: it is in one group.
type session struct {
	connection
	// Of ?after=; "": from now on.
	after string
	// Ends a session that stays in the lobby; nil: it began in a group.
	lobby *time.Timer

	// The reader's, after start.

	// Lobby until it has joined.
	group  group.Name
	member *room.Member
	// nil, or why the member may not publish to its group.
	publishDenied error

	mu sync.Mutex
	// The one being answered, and those that wait.
	queries []packet.Packet
}

func (s *Server) newSession(p *permit, name group.Name, by *access.Identity, after string) *session {
	c := &session{group: name, after: after}
	s.connect(&c.connection, p, by, c, room.ConnOptions{Dialect: v1.Dialect})
	return c
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
	m := c.members.NewMember(room.Start{AfterUUID: after})
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

// begin implements protocol.
func (c *session) begin() {
	c.enterLobby()
}

// end implements protocol.
func (c *session) end() {
	c.leave()
	c.exitLobby()
}

// inGroup implements protocol.
func (c *session) inGroup() group.Name { return c.group }

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
