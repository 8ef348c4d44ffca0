package room

import (
	"context"
	"sync"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// ConnOptions are what a Conn needs.
type ConnOptions struct {
	// Session is the number under which it publishes.
	Session uint32
	// Client is its client, as a budget knows it.
	Client  string
	Dialect Dialect
	// Out takes its frames.
	Out *ws.Outbox
	// Window is how many publishes may be unanswered. One is always allowed.
	Window ws.Limits
	// Left is called when a room has ended a membership by itself, after its last
	// frame, under no lock; perhaps before JoinAnswered has returned. May be nil if the
	// Dialect then ends the connection.
	Left func(m *Member)
}

// Conn is what the members of one connection share.
//
// Locks: a Room's comes before a Conn's and a Pending's, which come before the Outbox's.
type Conn struct {
	ConnOptions
	registry *Registry
	// Of the dialect.
	kind   uint8
	traits Traits

	pending Pending
	turns   turns
}

// NewConn returns a Conn without members.
func (g *Registry) NewConn(o ConnOptions) *Conn {
	c := &Conn{
		ConnOptions: o, registry: g, kind: g.dialectOf(o.Dialect), traits: o.Dialect.Traits(),
		pending: Pending{limits: o.Window, out: o.Out},
	}
	if c.traits.Shares {
		o.Out.ShareOut()
	}
	return c
}

// Pending has the publishes of c that are not settled.
func (c *Conn) Pending() *Pending { return &c.pending }

// Start lets members catch up until ctx ends, or Close. Others need no Start.
func (c *Conn) Start(ctx context.Context) { c.turns.start(ctx, c) }

// Close ends the catching up. Members are to leave, nevertheless.
func (c *Conn) Close() { c.turns.close() }

// Wait blocks until the catching up has ended. It comes after Close.
func (c *Conn) Wait() { c.turns.running.Wait() }

// Result takes what became of a publish, and reports whether it refuses the publish:
// not if the publish was settled before.
func (c *Conn) Result(p *relay.Publication, res relay.Result) (refused bool) {
	if res.Outcome != relay.Accepted && res.Outcome != relay.Duplicate {
		return c.pending.settleWith(p.Number, func(one *Publish) ws.Frame { return c.Dialect.Refusal(one, &res) })
	}
	if p.Kind == stream.Message {
		c.stored(p.Number, &res)
	} else {
		c.answer(p.Number, &Receipt{})
	}
	return false
}

// answer settles a publish by its result.
func (c *Conn) answer(number uint32, r *Receipt) {
	c.pending.settleWith(number, func(one *Publish) ws.Frame { return c.Dialect.Answer(one, r) })
}

// stored: the message of a publish is stored. For a member that has not come so far,
// the answer waits: the delivery of an accepted message settles it, in the message's
// place. If it does not come within a second or two, it was lost, and the room reads
// on from where it is. A duplicate is settled when the member has got the first copy.
func (c *Conn) stored(number uint32, res *relay.Result) {
	m, ok := c.pending.member(number)
	switch {
	case !ok: // the delivery has settled it
		return
	case m == nil || res.Seq == 0 || !m.stored(number, res): // 0: its group stores nothing, so it has no place
		c.answer(number, receiptOf(res))
	}
}

func receiptOf(res *relay.Result) *Receipt {
	return &Receipt{
		Seq: res.Seq, At: res.At, Duplicate: res.Outcome == relay.Duplicate, Recalled: res.Recalled,
	}
}

// turns is who of a connection catches up: one member at a time, a page each.
type turns struct {
	mu sync.Mutex
	//nolint:containedctx // the lifetime of the connection
	ctx    context.Context
	cancel context.CancelFunc
	closed bool
	// Those whose join is to be answered, and the others.
	joins, others []*Member
	// A goroutine serves them.
	busy    bool
	running sync.WaitGroup
}

func (t *turns) start(ctx context.Context, c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ctx = ctx
	t.serve(c)
}

func (t *turns) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.joins, t.others = nil, nil
	if t.cancel != nil {
		t.cancel()
	}
}

// add lets m have a turn.
func (c *Conn) add(m *Member) {
	t := &c.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if m.catch.answered {
		t.others = append(t.others, m)
	} else {
		t.joins = append(t.joins, m)
		c.registry.metrics.resumes.Inc() // also if it has to wait for its part of the budget
		if t.busy {
			c.Out.Nudge()
		}
	}
	t.serve(c)
}

// serve needs the lock.
func (t *turns) serve(c *Conn) {
	if t.busy || t.closed || t.ctx == nil || len(t.joins)+len(t.others) == 0 {
		return
	}
	if t.cancel == nil {
		t.ctx, t.cancel = context.WithCancel(t.ctx)
	}
	t.busy = true
	ctx := t.ctx
	t.running.Go(func() { c.catchUp(ctx) })
}

// next returns the next member, joins first; nil: the goroutine has to stop.
func (t *turns) next() *Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := pop(&t.joins)
	if m == nil {
		m = pop(&t.others)
	}
	t.busy = m != nil
	return m
}

// nextJoin returns a member whose join is to be answered, or nil.
func (t *turns) nextJoin() *Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return pop(&t.joins)
}

// joinWaits reports whether a join is to be answered.
func (t *turns) joinWaits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.joins) > 0
}

func pop(from *[]*Member) (m *Member) {
	if len(*from) == 0 {
		return nil
	}
	m, (*from)[0] = (*from)[0], nil
	if *from = (*from)[1:]; len(*from) == 0 {
		*from = nil
	}
	return m
}
