// Package roomtest has a relay with a history service and a store behind it, in
// memory, for the tests of rooms and sessions. It does one thing at a time, in an
// order that a seed chooses: deliveries late, results before or after them, reads
// that are old when they are answered.
package roomtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Edge is the name of the edge process under test, OtherEdge another's.
const (
	Edge      = 77
	OtherEdge = 78
)

// Relay is what the rest of the edge sees of the relay, with strings attached.
type Relay struct {
	handler relay.Handler // set by Serve
	// Wakes Run.
	wake chan struct{}

	mu       sync.Mutex
	rand     *rand.Rand
	page     int
	up       bool
	last     uint32
	channels map[uint32]*channel
	order    []uint32 // open channels, so that a seed means one run
	groups   map[group.Name]*Log
	// What can happen next, besides deliveries.
	pending []func()
	// The outcome of what is not stored; see Refuse.
	refuse relay.Outcome
	// See Distort.
	distort func(relay.Result) relay.Result
	attach  error
	readErr error
	reads   int
}

// channel is an open subscription.
type channel struct {
	id    uint32
	log   *Log
	state int
	from  *stream.Position
	items []item
}

const (
	asked = iota
	attached
)

// item is something to deliver: a stored event by its index, or another.
type item struct {
	index int
	event *stream.Event
}

// New returns a Relay whose stream is up. Reads return pages of at most page
// events.
func New(seed uint64, page int) *Relay {
	return &Relay{
		wake: make(chan struct{}, 1), rand: rand.New(rand.NewPCG(seed, 1)), page: page, up: true,
		channels: make(map[uint32]*channel), groups: make(map[group.Name]*Log),
		distort: func(result relay.Result) relay.Result { return result },
	}
}

// Serve gives what happens to channels to h. It is called before anything else.
func (r *Relay) Serve(h relay.Handler) { r.handler = h }

// Run lets everything happen as soon as possible, until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	for {
		for r.Step() {
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Relay) changed() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Step lets one thing happen. It returns false when there is nothing to do.
func (r *Relay) Step() bool {
	r.mu.Lock()
	busy := r.busy()
	n := len(busy) + len(r.pending)
	if n == 0 {
		r.mu.Unlock()
		return false
	}
	i := r.rand.IntN(n)
	var action func()
	if i < len(busy) {
		action = r.advance(busy[i])
	} else {
		i -= len(busy)
		action = r.pending[i]
		r.pending = append(r.pending[:i], r.pending[i+1:]...)
	}
	r.mu.Unlock()
	action()
	return true
}

func (r *Relay) busy() (busy []*channel) {
	for _, id := range r.order {
		if c := r.channels[id]; c != nil && (c.state == asked || len(c.items) > 0) {
			busy = append(busy, c)
		}
	}
	return busy
}

// advance returns the next handler call of a channel.
func (r *Relay) advance(c *channel) func() {
	id := c.id
	if c.state == attached {
		n := 1 + r.rand.IntN(min(len(c.items), 4))
		events := make([]stream.Event, n)
		for i, it := range c.items[:n] {
			events[i] = c.log.at(it)
		}
		c.items = c.items[n:]
		epoch := c.log.epoch
		return func() { r.handler.Deliver(id, epoch, events) }
	}
	if err := r.attach; err != nil {
		delete(r.channels, id)
		return func() { r.handler.Attached(id, stream.Position{}, false, err) }
	}
	c.state = attached
	if c.from == nil {
		at := c.log.Head()
		return func() { r.handler.Attached(id, at, false, nil) }
	}
	next, ok := c.log.after(*c.from)
	if !ok {
		at := c.log.Head()
		return func() { r.handler.Attached(id, at, true, nil) }
	}
	for i := next; i < len(c.log.events); i++ {
		c.items = append(c.items, item{index: i})
	}
	at := *c.from
	return func() { r.handler.Attached(id, at, false, nil) }
}

// Attach implements room.Relay.
func (r *Relay) Attach(g group.Name, from *stream.Position) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed()
	if !r.up {
		return 0
	}
	r.last++
	r.channels[r.last] = &channel{id: r.last, log: r.log(g), from: from}
	r.order = append(r.order, r.last)
	return r.last
}

// Detach implements room.Relay.
func (r *Relay) Detach(channel uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.channels, channel)
}

// Open returns how many channels are open.
func (r *Relay) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.channels)
}

// Break loses the stream, and what was on its way.
func (r *Relay) Break() {
	r.mu.Lock()
	r.up = false
	clear(r.channels)
	r.order = nil
	r.mu.Unlock()
	r.handler.Lost()
}

// Restore opens a new stream.
func (r *Relay) Restore() {
	r.mu.Lock()
	r.up = true
	r.mu.Unlock()
	r.handler.Restored()
}

// Lose drops what the channels were about to deliver.
func (r *Relay) Lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.channels {
		c.items = nil
	}
}

// Refuse makes publications fail with an outcome; 0 lets them succeed again.
func (r *Relay) Refuse(o relay.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = o
}

// Distort changes results on their way, as a relay does that lost a connection: what
// was stored may be a duplicate, because it was sent again, or unknown.
func (r *Relay) Distort(change func(relay.Result) relay.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.distort = change
}

// RefuseAttach makes channels fail; nil lets them succeed again.
func (r *Relay) RefuseAttach(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attach = err
}

// FailReads makes reads fail; nil lets them succeed again.
func (r *Relay) FailReads(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readErr = err
}

var errCut = errors.New("the test is over")

// Read implements room.Relay. What it finds and when it answers are two steps.
func (r *Relay) Read(ctx context.Context, g group.Name, start relay.Start) (relay.Batch, error) {
	type answer struct {
		batch relay.Batch
		err   error
	}
	answers := make(chan answer, 1)
	r.later(func() {
		r.mu.Lock()
		r.reads++
		a := answer{err: r.readErr}
		if a.err == nil {
			a.batch = r.log(g).read(start, r.page)
		}
		r.mu.Unlock()
		r.later(func() { answers <- a })
	})
	select {
	case a := <-answers:
		return a.batch, a.err
	case <-ctx.Done():
		return relay.Batch{}, errCut
	}
}

// Count returns how many events of a group were ever stored.
func (r *Relay) Count(g group.Name) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log(g).events)
}

// Reads returns how often the store was read.
func (r *Relay) Reads() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

func (r *Relay) later(action func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, action)
	r.changed()
}

// Publish implements session.Publisher, for the edge under test.
func (r *Relay) Publish(batch ...*relay.Publication) {
	for _, p := range batch {
		r.PublishFrom(Edge, p)
	}
}

// PublishFrom publishes from an edge. p.From may be nil.
func (r *Relay) PublishFrom(edge uint64, p *relay.Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := r.distort(r.accept(edge, p))
	if p.From != nil {
		r.pending = append(r.pending, func() { p.End(result) })
	}
	r.changed()
}

func (r *Relay) accept(edge uint64, p *relay.Publication) relay.Result {
	if r.refuse != 0 {
		return relay.Result{Outcome: r.refuse, Reason: "as the test wants it"}
	}
	l := r.log(p.Group)
	origin := stream.Origin{Edge: edge, ID: p.ID()}
	if p.Kind != stream.Message {
		r.put(l, item{event: &stream.Event{Kind: p.Kind, Origin: origin, By: p.By, Payload: p.Payload}})
		return relay.Result{Outcome: relay.Accepted}
	}
	if seq, ok := l.seqs[p.UUID]; ok && p.UUID != "" {
		return relay.Result{Outcome: relay.Duplicate, Epoch: l.epoch, Seq: seq, At: l.times[seq], Recalled: l.recalled(seq)}
	}
	seq := l.append(stream.Event{Kind: stream.Message, Origin: origin, UUID: p.UUID, By: p.By, Payload: p.Payload}, r.rand)
	r.put(l, item{index: len(l.events) - 1})
	return relay.Result{Outcome: relay.Accepted, Epoch: l.epoch, Seq: seq, At: l.times[seq]}
}

// put puts something on the way to every channel of a group.
func (r *Relay) put(l *Log, it item) {
	for _, id := range r.order {
		if c := r.channels[id]; c != nil && c.log == l && c.state == attached {
			c.items = append(c.items, it)
		}
	}
}

// Recall recalls a message. Nothing happens if it is unknown or recalled already.
func (r *Relay) Recall(g group.Name, uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.log(g)
	if l.recall(uuid, r.rand) {
		r.put(l, item{index: len(l.events) - 1})
		r.changed()
	}
}

// Log returns what is stored for a group. It must not be used while anything
// else happens.
func (r *Relay) Log(g group.Name) *Log {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log(g)
}

func (r *Relay) log(g group.Name) *Log {
	l := r.groups[g]
	if l == nil {
		l = &Log{seqs: make(map[string]uint64), times: make(map[uint64]int64)}
		r.groups[g] = l
	}
	return l
}
