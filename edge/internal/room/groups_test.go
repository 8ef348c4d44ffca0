package room_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// TestEveryMemberOfManyGroupsGetsItsStreams is TestEveryMemberGetsTheStream for a dialect
// with shares. Connections have small queues, and join and leave several groups, from
// positions that may be lost; peers stall; histories are trimmed. Each membership must
// get the stream from its answer on, in order, but for what its gaps skip. Each request
// is answered exactly once: in its message's place if that comes before.
func TestEveryMemberOfManyGroupsGetsItsStreams(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &city{bench: newBench(t, seed), rand: rand.New(rand.NewPCG(seed, 3)), uuids: make(map[group.Name][]string)}
				c.relay.Distort(c.distort)
				c.registry.KeepRecent(c.rand.IntN(20))
				c.run(500)
				c.check()
			})
		})
		if !ok {
			return
		}
	}
}

var groups = []group.Name{"/room/1", "/room/2", "/room/3"}

// smallQueue is so small that shares are full soon.
var smallQueue = ws.Limits{Frames: 32, Bytes: 8 << 10}

type city struct {
	*bench
	rand    *rand.Rand
	walkers []*walker
	uuids   map[group.Name][]string
	low     int
	trimmed bool
	broken  bool
}

// walker is a connection with what it has asked for.
type walker struct {
	*roomtest.Peer
	city    *city
	conn    *room.Conn
	out     *ws.Outbox
	session uint32

	mu      sync.Mutex
	members map[group.Name]*room.Member
	joining map[group.Name]bool
	ended   map[*room.Member]bool
	// How often it has joined each group.
	joins map[group.Name]int
	// By request number, from 1 on.
	requests []*request
	resume   func()
	// Its packets that are not stored.
	low map[string]bool
}

// request is a publish with what is known of it.
type request struct {
	group group.Name
	uuid  string
	// The join of its membership; 0: none.
	join int
	// The number of its publication.
	number uint32
}

// Result implements relay.Sender.
func (w *walker) Result(p *relay.Publication, r relay.Result) { w.conn.Result(p, r) }

func (c *city) distort(r relay.Result) relay.Result {
	switch n := c.rand.IntN(20); {
	case n == 0:
		return relay.Result{Outcome: relay.Unknown}
	case n < 3 && r.Outcome == relay.Accepted && r.Seq > 0:
		r.Outcome = relay.Duplicate
	}
	return r
}

func (c *city) run(steps int) {
	for range 4 {
		c.come()
	}
	for range steps {
		c.act()
		synctest.Wait()
	}
	c.relay.FailReads(nil)
	if c.broken {
		c.relay.Restore()
	}
	for _, w := range c.walkers {
		w.wake()
	}
	for _, g := range groups { // shows what was lost before
		c.publish(g, nil, stream.Message, c.newUUID(g), true)
	}
	for idle := 0; idle < 5; idle++ {
		for synctest.Wait(); c.relay.Step(); synctest.Wait() {
			idle = 0
		}
		time.Sleep(time.Second)
	}
}

func (c *city) act() {
	g := groups[c.rand.IntN(len(groups))]
	w := c.walkers[c.rand.IntN(len(c.walkers))]
	switch n := c.rand.IntN(100); {
	case n < 22:
		c.publish(g, w, stream.Message, c.newUUID(g), c.rand.IntN(5) > 0)
	case n < 27:
		c.publish(g, nil, stream.Message, c.newUUID(g), false)
	case n < 31:
		c.low++
		c.publish(g, w, stream.Text, fmt.Sprint("low", c.low), true)
	case n < 34 && len(c.uuids[g]) > 0:
		c.publish(g, w, stream.Message, c.pick(g), true)
	case n < 37 && len(c.uuids[g]) > 0:
		c.relay.Recall(g, c.pick(g))
	case n < 46:
		w.join(g)
	case n < 49:
		w.leave(g)
	case n < 51:
		c.relay.Lose()
	case n < 52:
		if c.broken = !c.broken; c.broken {
			c.relay.Break()
		} else {
			c.relay.Restore()
		}
	case n < 53:
		c.relay.FailReads(errors.New("the store is down"))
	case n < 56:
		c.relay.FailReads(nil)
	case n < 57:
		c.trimmed = true
		c.relay.Log(g).Trim(c.rand.IntN(6))
	case n < 59 && w.resume == nil:
		w.resume = w.Stall()
	case n < 62:
		w.wake()
	case n < 63:
		time.Sleep(400 * time.Millisecond)
	default:
		c.relay.Step()
	}
}

func (w *walker) wake() {
	if w.resume != nil {
		w.resume()
		w.resume = nil
	}
}

func (c *city) newUUID(g group.Name) string {
	uuid := fmt.Sprint("m", len(c.uuids[g]))
	c.uuids[g] = append(c.uuids[g], uuid)
	return uuid
}

func (c *city) pick(g group.Name) string { return c.uuids[g][c.rand.IntN(len(c.uuids[g]))] }

func (c *city) come() {
	c.sessions++
	w := &walker{
		Peer: roomtest.NewPeer(), city: c, session: c.sessions, out: ws.NewOutbox(smallQueue, c.flusher),
		members: make(map[group.Name]*room.Member), joining: make(map[group.Name]bool), joins: make(map[group.Name]int),
		low: make(map[string]bool), ended: make(map[*room.Member]bool),
	}
	w.conn = c.registry.NewConn(room.ConnOptions{Session: w.session, Dialect: plain{}, Out: w.out, Window: limits, Left: w.left})
	w.conn.Start(c.Context())
	w.out.Start(w.Peer)
	c.walkers = append(c.walkers, w)
}

// left takes note that a room has ended a membership, perhaps before its join returns.
func (w *walker) left(m *room.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[m] = true
	for g, one := range w.members {
		if one == m {
			delete(w.members, g)
		}
	}
}

// publish sends a packet as a connection; from nil, as another edge.
func (c *city) publish(g group.Name, w *walker, kind stream.Kind, text string, answered bool) {
	payload := []byte(text)
	p := &relay.Publication{Group: g, Kind: kind}
	if kind == stream.Message {
		p.UUID, payload = text, roomtest.Data(text)
	}
	p.Payload = payload
	if w == nil {
		c.relay.PublishFrom(roomtest.OtherEdge, p)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.joining[g] || !w.conn.Pending().MayAdd(g, len(payload)) {
		return // a session would wait, or refuse it
	}
	one := room.Publish{Member: w.members[g], Group: g, Kind: kind, UUID: p.UUID}
	if kind != stream.Message {
		w.low[text] = true
	}
	if answered {
		r := &request{group: g, uuid: p.UUID}
		if one.Member != nil {
			r.join = w.joins[g]
		}
		w.requests = append(w.requests, r)
		one.Request = uint64(len(w.requests))
	}
	p.Session, p.From = w.session, w
	p.Number, _ = w.conn.Pending().Add(one, len(payload))
	if answered {
		w.requests[len(w.requests)-1].number = p.Number
	}
	c.relay.Publish(p)
}

// join begins now, or after a position that was once reached.
func (w *walker) join(g group.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.joining[g] || w.members[g] != nil {
		return
	}
	c := w.city
	var start room.Start
	if c.rand.IntN(4) > 0 {
		pos := c.relay.Log(g).At(c.rand.IntN(c.relay.Count(g) + 1))
		start.From = &pos
	}
	if c.rand.IntN(2) == 0 {
		start.Last = c.rand.IntN(10)
	}
	m := w.conn.NewMember(start)
	w.joining[g] = true
	w.joins[g]++
	go func() {
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
		defer cancel()
		err := c.registry.JoinAnswered(ctx, g, m)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.joining[g] = false
		switch {
		case err != nil:
			w.out.Send(line("%s unavailable", g))
		case !w.ended[m]:
			w.members[g] = m
		}
	}()
}

func (w *walker) leave(g group.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.members[g]; m != nil {
		delete(w.members, g)
		w.city.registry.Leave(m)
		w.out.Send(line("%s gone", g))
	}
}

func (c *city) check() {
	for _, w := range c.walkers {
		if n, used := w.conn.Pending().Unsettled(); n != 0 || used != 0 {
			c.Errorf("session %d has %d unsettled publishes, and %d in its window", w.session, n, used)
		}
		if err := w.out.Cause(); err != nil {
			c.Errorf("session %d was closed: %v", w.session, err)
		}
		r := reader{walker: w, cursors: make(map[group.Name]*place), answers: make(map[int]string), seen: make(map[string]bool)}
		for i, line := range w.Got() {
			if err := r.read(strings.Fields(line)); err != nil {
				c.Errorf("session %d, line %d, %q: %v\ngot %q", w.session, i, line, err, w.Got())
				return
			}
		}
		if err := r.end(); err != nil {
			c.Errorf("session %d: %v\ngot %q", w.session, err, w.Got())
		}
	}
}

// reader checks what one connection got.
type reader struct {
	*walker
	cursors map[group.Name]*place
	joined  map[group.Name]int
	answers map[int]string
	seen    map[string]bool
}

// place is where a membership is.
type place struct {
	join, next int
	live       bool
}

func (r *reader) read(words []string) error {
	switch words[0] {
	case "re":
		return r.answer(words[1], "")
	case "refused":
		return r.answer(words[1], "")
	}
	g := group.Name(words[0])
	log := r.city.relay.Log(g)
	at := r.cursors[g]
	switch words[1] {
	case "joined":
		if at != nil {
			return errors.New("joined twice")
		}
		next, ok := log.Index(words[2])
		if !ok {
			return errors.New("no such position")
		}
		if len(words) > 3 && !r.city.trimmed {
			return errors.New("a gap, but nothing was lost")
		}
		r.cursors[g] = &place{join: r.nextJoin(g), next: next}
		return nil
	case "unavailable":
		if at != nil {
			return errors.New("refused after its answer")
		}
		r.nextJoin(g)
		return nil
	}
	if at == nil {
		return errors.New("not joined")
	}
	switch words[1] {
	case "gone", "left":
		delete(r.cursors, g)
		return nil
	case "live":
		if at.live {
			return errors.New("live twice")
		}
		at.live = true
		return nil
	case "gap":
		next, ok := log.Index(words[2])
		if !ok || next < at.next || !r.city.trimmed {
			return fmt.Errorf("a gap to %d at %d", next, at.next)
		}
		at.next = next
		return nil
	case "packet":
		key := words[0] + words[2]
		if r.seen[key] || r.low[words[2]] {
			return errors.New("came twice, or back")
		}
		r.seen[key] = true
		return nil
	}
	return r.event(g, log.Events(), at, words)
}

func (r *reader) nextJoin(g group.Name) int {
	if r.joined == nil {
		r.joined = make(map[group.Name]int)
	}
	r.joined[g]++
	return r.joined[g]
}

// event takes a message, a recall, or an answer in a message's place.
func (r *reader) event(g group.Name, events []stream.Event, at *place, words []string) error {
	for ; at.next < len(events); at.next++ {
		e := &events[at.next]
		pos := r.city.relay.Log(g).At(at.next + 1)
		if words[len(words)-1] == fmt.Sprintf("%d.%d", pos.Seq, pos.Changes) {
			at.next++
			return r.isEvent(e, at, words)
		}
		if e.Kind != stream.Tombstone {
			return fmt.Errorf("event %d, %s, is missing", at.next, e.UUID)
		}
	}
	return errors.New("such an event is not to come")
}

func (r *reader) isEvent(e *stream.Event, at *place, words []string) error {
	own := e.Kind != stream.Recall && e.Origin.Edge == roomtest.Edge && e.Origin.ID>>32 == uint64(r.session)
	switch words[1] {
	case "recalled":
		if e.Kind != stream.Recall || e.UUID != words[2] {
			return errors.New("not that recall")
		}
	case "message":
		if e.Kind == stream.Recall || e.UUID != words[2] {
			return errors.New("not that message")
		}
		if !own {
			return nil
		}
		for i, one := range r.requests {
			if one.number == uint32(e.Origin.ID) && one.join == at.join && r.answers[i+1] == "" {
				return fmt.Errorf("request %d of this membership is not answered", i+1)
			}
		}
	case "ok":
		if !own {
			return errors.New("an answer in the place of another's message")
		}
		return r.answer(words[2], e.UUID)
	}
	return nil
}

// answer counts an answer; in is the uuid of the message whose place it takes.
func (r *reader) answer(number, in string) error {
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil || n < 1 || n > len(r.requests) {
		return errors.New("no such request")
	}
	if r.answers[n] != "" {
		return errors.New("answered before")
	}
	r.answers[n] = "answered"
	if one := r.requests[n-1]; in != "" && one.uuid != in {
		return fmt.Errorf("the request was for %s, not %s", one.uuid, in)
	}
	return nil
}

// end checks that nothing is missing.
func (r *reader) end() error {
	for i := range r.requests {
		if r.answers[i+1] == "" {
			return fmt.Errorf("request %d has no answer", i+1)
		}
	}
	for g, m := range r.members {
		at := r.cursors[g]
		if m == nil || at == nil {
			return fmt.Errorf("%s is not joined", g)
		}
		if !at.live {
			return fmt.Errorf("%s is not live", g)
		}
		events := r.city.relay.Log(g).Events()
		for ; at.next < len(events); at.next++ {
			if e := &events[at.next]; e.Kind != stream.Tombstone {
				return fmt.Errorf("%s: event %d, %s, has not come", g, at.next, e.UUID)
			}
		}
	}
	return nil
}
