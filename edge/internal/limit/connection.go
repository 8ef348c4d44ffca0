package limit

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gotapi/gotapi-ws/internal/ratelimit"
	"github.com/gotapi/gotapi-ws/wire/group"
)

const (
	// maxRefusals is how many messages of a connection may be refused in a row, and
	// forgiveEvery how long it takes until one of them no longer counts.
	maxRefusals  = 50
	forgiveEvery = time.Second
	// frameBytes is what a frame without a payload takes on the wire.
	frameBytes = 6
)

// Connection has the limits of one WebSocket. Its methods are for one goroutine, except
// AwaitJoin, Refused and Release.
type Connection struct {
	limits          *Limits
	address, user   string
	key             string
	messages, bytes *rate.Limiter
	joins           *rate.Limiter // nil: no limit

	mu       sync.Mutex
	refusals *rate.Limiter // nil: none so far
}

// Key returns whose part of a budget the connection uses: its user's, or its address's.
func (c *Connection) Key() string { return c.key }

// What a client gets that Connect refuses: why, and when to come again. Some of its
// connections must end first.
const (
	TooManyConnections = "this client has too many connections"
	RetryConnections   = 10 * time.Second
)

// Connect counts a WebSocket of that user in. It returns nil if its address has too many
// already. Release must follow.
func (l *Limits) Connect(r *http.Request, userName string) *Connection {
	c := &Connection{
		limits: l, user: userName,
		messages: ratelimit.New(l.settings.ConnectionMessages), bytes: ratelimit.New(l.settings.ConnectionBytes),
		joins: ratelimit.New(l.settings.ConnectionJoins),
	}
	c.key = l.Key(r, userName)
	if l.ofAddress.IsBounded() {
		c.address = l.proxies.Key(r)
	}
	if !l.ofAddress.Add(c.address) {
		l.refused[connections].Inc()
		return nil
	}
	return c
}

// Open counts the WebSocket as one of its user's. If the user has too many, the oldest
// gives way: its client may have lost it without the server's knowledge, after a
// change of networks for instance. giveWay is called if this one has to.
func (c *Connection) Open(giveWay func()) {
	if c.limits.ofUser.add(c, giveWay) {
		c.limits.refused[connections].Inc()
	}
}

// Release counts the connection out.
func (c *Connection) Release() {
	c.limits.ofAddress.Remove(c.address)
	c.limits.ofUser.remove(c)
}

// Message returns when a message of that size, of any kind, may come again; 0: now.
func (c *Connection) Message(size int) (again time.Duration) {
	l := c.limits
	if again = l.countRefusal(messages, ratelimit.Take(c.messages, 1)); again > 0 {
		return again
	}
	if again = l.countRefusal(bytes, ratelimit.Take(c.bytes, size)); again > 0 {
		return again
	}
	return l.byUser(c.user)
}

// CountsMessages reports whether messages of one connection are limited.
func (c *Connection) CountsMessages() bool { return c.messages != nil || c.bytes != nil }

// Frames counts frames that are no messages as if they were, and reports whether there
// were too many of them.
func (c *Connection) Frames(n int) (tooMany bool) {
	for range n {
		again := c.limits.countRefusal(messages, ratelimit.Take(c.messages, 1))
		if again == 0 {
			again = c.limits.countRefusal(bytes, ratelimit.Take(c.bytes, frameBytes))
		}
		if again > 0 && c.Refused() {
			return true
		}
	}
	return false
}

// Publish returns when a message may be published again; 0: now. Call it only for
// messages that are about to be published: pings, queries and members that may not
// publish must not use up what the group may have.
func (c *Connection) Publish(to group.Name) (again time.Duration) { return c.limits.byGroup(to) }

// AwaitJoin waits until the connection may join another group. It returns an error if ctx
// ends first.
func (c *Connection) AwaitJoin(ctx context.Context) error {
	if c.joins == nil {
		return ctx.Err()
	}
	return c.joins.Wait(ctx)
}

// Refused counts a message that was refused, and reports whether there were too many.
func (c *Connection) Refused() (tooMany bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals == nil {
		c.refusals = rate.NewLimiter(rate.Every(forgiveEvery), maxRefusals)
	}
	return !c.refusals.Allow()
}
