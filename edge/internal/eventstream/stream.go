package eventstream

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/dialect/sse"
	v2 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v2"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// ServeGroup streams one group: from a position, if from is not "".
func (s *Server) ServeGroup(w http.ResponseWriter, r *http.Request, by *access.Identity, g group.Name, from string, last header.Integer) {
	start, why := session.StartOf(by, g, from, last)
	var c *connection
	if why == nil {
		c, why = s.admit(r, by, sse.One)
	}
	switch {
	case why == nil:
	case passes(why):
		s.refused(r, by, g, why)
		Refuse(w, why)
		return
	default:
		writeRefusal(w, why)
		return
	}
	body := newAnswer(w)
	defer body.release()
	defer c.show()()
	c.start(r.Context(), body)
	start.Request = v2.Request(header.Integer{Set: true}) // the id 0
	m := c.members.NewMember(start)
	if !c.join(r.Context(), g, m) {
		c.out.Close(errNoGroup)
		c.end()
		return
	}
	c.await(r.Context())
	c.end(m)
}

// await sends comments until the stream has ended, or the client has gone.
func (c *connection) await(ctx context.Context) {
	tick := time.NewTicker(commentEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.out.Send(sse.Comment)
		case <-c.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// maxJoining is how many joins of one stream are under way at one time.
const maxJoining = 16

// multi is a stream of many groups.
type multi struct {
	*connection
	joins   sync.WaitGroup
	joining chan struct{}

	mu sync.Mutex
	// The groups named so far, and the members that have joined.
	named  map[group.Name]bool
	joined []*room.Member
	// How many groups are joined or being joined, and one while lines are read.
	alive int
	// Why the last one is not.
	why header.Refusal
}

// ServeGroups streams the groups that a body names, which has a request join on each line.
func (s *Server) ServeGroups(w http.ResponseWriter, r *http.Request, by *access.Identity, body []byte) {
	if len(bytes.TrimSpace(body)) == 0 {
		writeRefusal(w, &header.Refusal{Code: http.StatusBadRequest, Msg: "the body has no request join"})
		return
	}
	c, why := s.admit(r, by, sse.Many)
	if why != nil {
		writeRefusal(w, why)
		return
	}
	m := &multi{connection: c, joining: make(chan struct{}, maxJoining), named: make(map[group.Name]bool), alive: 1}
	c.onLeft = func(*room.Member) { m.less(&header.Refusal{Code: errNoGroup.Code, Msg: errNoGroup.Reason}) }
	answer := newAnswer(w)
	defer answer.release()
	defer c.show()()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c.start(ctx, answer)
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		if len(bytes.TrimSpace(line)) > 0 {
			m.request(ctx, line)
		}
	}
	m.less(nil)
	c.await(ctx)
	cancel()
	m.joins.Wait()
	c.end(m.joined...)
}

// request joins the group that a line names.
func (m *multi) request(ctx context.Context, line []byte) {
	r, err := header.ParseRequest(line)
	switch {
	case err != nil && !r.ID.Set: // its sender would not find the fault otherwise
		m.note(&header.Refusal{Code: http.StatusBadRequest, Msg: err.Error()})
		m.out.Send(sse.Error(http.StatusBadRequest, err.Error()))
		return
	case err != nil:
		m.refuse(&r, &header.Refusal{Code: http.StatusBadRequest, Msg: err.Error()})
		return
	case r.Do != header.Join:
		m.refuse(&r, &header.Refusal{Code: http.StatusBadRequest, Msg: "a line must be a request join"})
		return
	}
	start, why := session.StartOf(m.by, r.Group, r.From, r.Last)
	if why == nil {
		why = m.add(r.Group)
	}
	if why != nil {
		m.refuse(&r, why)
		return
	}
	start.Request = v2.Request(r.ID)
	select {
	case m.joining <- struct{}{}:
	case <-ctx.Done():
		return
	}
	m.joins.Go(func() {
		defer func() { <-m.joining }()
		one := m.members.NewMember(start)
		if m.limits.AwaitJoin(ctx) == nil && m.join(ctx, r.Group, one) {
			m.mu.Lock()
			m.joined = append(m.joined, one)
			m.mu.Unlock()
			return
		}
		why := &header.Refusal{Code: errNoGroup.Code, Msg: errNoGroup.Reason, RetryAfter: time.Second.Milliseconds()}
		m.refuse(&r, why)
		m.less(why)
	})
}

// add counts a group in, or returns why it may not be joined.
func (m *multi) add(g group.Name) *header.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.named[g]:
		return &header.Refusal{Code: http.StatusConflict, Msg: "the group is joined already"}
	case len(m.named) >= m.server.opts.MaxGroups:
		return &header.Refusal{Code: http.StatusTooManyRequests, Msg: "this stream is in as many groups as it may be"}
	}
	m.named[g] = true
	m.alive++
	return nil
}

// refuse answers a join that is refused.
func (m *multi) refuse(r *header.Request, why *header.Refusal) {
	m.note(why)
	if f := sse.Answer(v2.Request(r.ID), *why); !f.IsZero() {
		m.out.Send(f)
	}
}

func (m *multi) note(why *header.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.why = *why
}

// less counts one out, for that reason if it is not nil. A stream in which no group is left
// ends.
func (m *multi) less(why *header.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if why != nil {
		m.why = *why
	}
	if m.alive--; m.alive == 0 {
		m.out.Close(&ws.CloseError{Code: m.why.Code, Reason: m.why.Msg})
	}
}
