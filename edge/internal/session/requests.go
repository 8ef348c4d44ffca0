package session

import (
	"context"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	v2 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v2"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// This file does what the requests in a lane ask for, but publish.

var (
	refusedTwice = header.Refusal{Code: http.StatusConflict, Msg: "the group is joined already"}
	refusedMany  = header.Refusal{Code: http.StatusTooManyRequests, Msg: "this connection is in as many groups as it may be"}
	refusedJoin  = header.Refusal{Code: http.StatusServiceUnavailable, Msg: string(refusedGroup), RetryAfter: time.Second.Milliseconds()}
	refusedUser  = header.Refusal{Code: http.StatusForbidden, Msg: "the new credential is that of another user"}
)

// join makes the connection a member of the lane's group. The room answers the join if it
// succeeds.
func (c *multiplexed) join(ctx context.Context, l *lane, t *task) {
	if c.permit.limits.AwaitJoin(ctx) != nil { // the connection has ended
		c.settle(t, ws.Frame{})
		return
	}
	c.awaitPublishes(ctx, l) // their messages come before its events
	start, refused := StartOf(c.caller.Load(), t.Group, t.From, t.Last)
	if refused != nil {
		c.settleRefused(t, *refused)
		return
	}
	start.Request = v2.Request(t.ID)
	m := c.members.NewMember(start)
	if why, ok := c.reserve(l, m); !ok {
		c.settleRefused(t, why)
		return
	}
	within, cancel := context.WithTimeout(ctx, joinTimeout)
	ok := c.server.rooms.JoinAnswered(within, l.group, m) == nil
	cancel()
	if c.joinDone(l, m, ok) {
		c.server.rooms.Leave(m)
	}
	switch denied := c.caller.Load().May(access.Join, l.group); {
	case !ok && ctx.Err() != nil: // the connection has ended
		c.settle(t, ws.Frame{})
	case !ok && denied != nil: // by a new credential, meanwhile
		c.settleRefused(t, *denial(denied))
	case !ok:
		c.settleRefused(t, refusedJoin)
	default:
		c.settle(t, ws.Frame{})
		if denied != nil {
			c.expel(l, m, denied)
		}
	}
}

// reserve makes m the member that joins, unless there is one or too many groups are
// joined.
func (c *multiplexed) reserve(l *lane, m *room.Member) (why header.Refusal, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case l.member != nil:
		return refusedTwice, false
	case c.joined >= c.server.opts.MaxGroups:
		return refusedMany, false
	}
	l.member, l.joining = m, true
	c.joined++
	return why, true
}

// joinDone ends the joining. It reports whether m has to leave again, because the connection
// has ended meanwhile.
func (c *multiplexed) joinDone(l *lane, m *room.Member, ok bool) (leave bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.joining = false
	if !ok {
		c.forgetMember(l, m)
	}
	return ok && c.ended
}

// forgetMember has the lane be without m, if it is m's. The caller holds the lock.
func (c *multiplexed) forgetMember(l *lane, m *room.Member) bool {
	if m == nil || l.member != m {
		return false
	}
	l.member = nil
	c.joined--
	c.tidy(l)
	return true
}

// left: the room has ended the membership.
func (c *multiplexed) left(m *room.Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lanes {
		if c.forgetMember(l, m) {
			return
		}
	}
}

// expel ends a membership because the caller may not be a member any more.
func (c *multiplexed) expel(l *lane, m *room.Member, denied error) {
	c.mu.Lock()
	mine := c.forgetMember(l, m)
	c.mu.Unlock()
	if mine {
		why := denial(denied)
		c.server.rooms.End(m, room.Refusal{Code: why.Code, Reason: why.Msg})
	}
}

// leave ends a membership, if there is one.
func (c *multiplexed) leave(l *lane, t *task) {
	c.mu.Lock()
	m := l.member
	c.forgetMember(l, m)
	c.mu.Unlock()
	if m != nil {
		c.server.rooms.Leave(m)
	}
	c.settle(t, v2.OK(v2.Request(t.ID)))
}

// recall takes a message back.
func (c *multiplexed) recall(ctx context.Context, l *lane, t *task) {
	c.awaitPublishes(ctx, l)
	ctx, cancel := context.WithTimeout(access.NewContext(ctx, c.caller.Load()), queryTimeout)
	defer cancel()
	if _, err := c.server.history.Cancel(ctx, &historyv1.CancelRequest{GroupName: string(t.Group), Uuid: t.UUID}); err != nil {
		code, msg := refusalOf(err)
		c.settleRefused(t, header.Refusal{Code: code, Msg: msg})
		return
	}
	c.settle(t, v2.OK(v2.Request(t.ID)))
}

// pageBytes is up to how many bytes of texts a page of history has.
const pageBytes = 256 << 10

// history answers with messages by their numbers. Pages of one connection come one after
// another, each when the one before it has been written: so what waits is bounded.
func (c *multiplexed) history(ctx context.Context, l *lane, t *task) {
	c.awaitPublishes(ctx, l)
	select {
	case c.paging <- struct{}{}:
	case <-ctx.Done():
		c.settle(t, ws.Frame{})
		return
	}
	defer func() { <-c.paging }()
	if c.out.Await(ctx) != nil {
		c.settle(t, ws.Frame{})
		return
	}
	page, held, err := c.fetch(ctx, t)
	if err != nil {
		code, msg := refusalOf(err)
		c.settleRefused(t, header.Refusal{Code: code, Msg: msg})
		return
	}
	defer held.Release()
	if !page.IsZero() {
		_ = c.out.SendAndWait(ctx, page) // the connection may be ending
	}
	c.settle(t, ws.Frame{})
}

// fetch gets a page once few enough others are being fetched. held is what must be released
// when it has been sent.
func (c *multiplexed) fetch(ctx context.Context, t *task) (page ws.Frame, held quota.Held, err error) {
	ctx, cancel := context.WithTimeout(access.NewContext(ctx, c.caller.Load()), queryTimeout)
	defer cancel()
	f, err := c.beginFetch(ctx, t.Size)
	if err != nil {
		return page, held, err
	}
	defer f.end()
	r := &relayv1.MessagesRequest{Group: string(t.Group), Size: uint32(t.Size), MaxBytes: pageBytes}
	switch {
	case t.After.Set:
		r.Start = &relayv1.MessagesRequest_After{After: t.After.Value}
	case t.Before.Set:
		r.Start = &relayv1.MessagesRequest_Before{Before: t.Before.Value}
	}
	response, err := c.server.history.Messages(ctx, r)
	if err != nil {
		return page, held, err
	}
	messages, bytes := make([]header.Message, len(response.GetEvents())), 0
	for i, e := range response.GetEvents() {
		messages[i] = header.Message{
			Seq: e.GetSeq(), At: e.GetAt(), By: stream.Author{Name: e.GetBy().GetName(), Key: e.GetBy().GetKey()}, Packet: string(e.GetPayload()),
		}
		bytes += len(e.GetPayload())
	}
	if held, err = f.hold(ctx, bytes); err != nil {
		return page, held, err
	}
	return v2.History(v2.Request(t.ID), t.Group, messages, response.GetMore(), bytes), held, nil
}

// renew replaces the credential by one of the same user. Groups that the new one may not
// join are left.
func (c *multiplexed) renew(ctx context.Context, t *task) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	old := c.caller.Load()
	by, err := c.server.opts.Identify(ctx, t.Token)
	switch {
	case err != nil:
		c.settleRefused(t, *denial(err))
		return
	case by.By() != old.By():
		c.settleRefused(t, refusedUser)
		return
	}
	c.caller.Store(by)
	c.expiry.set(by.Expires(), c.out)
	c.recheck(by)
	c.settle(t, v2.Renewed(v2.Request(t.ID), expiresIn(by)))
}

// recheck ends the memberships that the caller may not have any more. A join that is under
// way is checked when it is done.
func (c *multiplexed) recheck(by *access.Identity) {
	c.mu.Lock()
	all := c.memberships()
	c.mu.Unlock()
	for _, one := range all {
		if denied := by.May(access.Join, one.lane.group); denied != nil {
			c.expel(one.lane, one.member, denied)
		}
	}
}
