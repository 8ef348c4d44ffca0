package room_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// TestEveryMemberGetsTheStream lets members join, resume, publish, resend and
// leave, recalls happen, deliveries, results, reads and whole streams get lost, all in
// an order that a seed chooses. In the end every member must have got the stream
// from its place on: in order, once, complete, its acks in place. And every publish
// must be settled exactly once.
func TestEveryMemberGetsTheStream(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{bench: newBench(t, seed), rand: rand.New(rand.NewPCG(seed, 2))}
				w.relay.Distort(w.distort)
				w.registry.KeepRecent(w.rand.IntN(20))
				w.run(400)
				w.check()
			})
		})
		if !ok {
			return
		}
	}
}

type world struct {
	*bench
	rand    *rand.Rand
	members []*actor
	uuids   []string
	low     int
	broken  bool
	quiet   bool
}

// actor is a member with what is to be expected of it.
type actor struct {
	*member
	log    *roomtest.Log
	after  string
	joined atomic.Bool
	left   bool
	// It goes away once its publishes are settled.
	finishes bool
	// Stored events when it had joined: what comes later it must get.
	head int
	// How many acks of each uuid are due for duplicates.
	dups map[string]int
	// Those that had been recalled by then.
	recalled map[string]bool
	// How often it sent each uuid.
	sent map[string]int
	// How many refusals of each uuid were queued.
	refused map[string]int
	// Its own broadcasts.
	low map[string]bool
}

// Result implements relay.Sender.
func (a *actor) Result(p *relay.Publication, r relay.Result) {
	if first, twice := a.results[p.Number]; twice {
		panic(fmt.Sprintf("publish %d has two results, %v and %v", p.Number, first, r))
	}
	a.results[p.Number] = r
	switch {
	case a.conn.Result(p, r):
		if p.Kind == stream.Message {
			a.refused[p.UUID]++
		}
	case p.Kind == stream.Message && r.Outcome == relay.Duplicate && !a.stores(p):
		a.dups[p.UUID]++
		if r.Recalled {
			a.recalled[p.UUID] = true
		}
	}
}

// stores reports whether p is itself the first copy of its message.
func (a *actor) stores(p *relay.Publication) bool {
	for _, e := range a.log.Events() {
		if e.UUID == p.UUID && e.Kind != stream.Recall {
			return e.Origin == stream.Origin{Edge: roomtest.Edge, ID: p.ID()}
		}
	}
	return false
}

func (w *world) run(steps int) {
	for range steps {
		w.act()
		synctest.Wait()
	}
	w.quiet = true
	w.relay.FailReads(nil)
	if w.broken {
		w.relay.Restore()
	}
	w.send(nil) // shows what was lost before
	// Retries wait up to a second.
	for idle := 0; idle < 3; idle++ {
		for synctest.Wait(); w.relay.Step(); synctest.Wait() {
			idle = 0
		}
		time.Sleep(time.Second)
	}
}

// distort makes duplicates of some stored messages, because they were sent again, and
// gives up others.
func (w *world) distort(r relay.Result) relay.Result {
	switch n := w.rand.IntN(10); {
	case n == 0:
		return relay.Result{Outcome: relay.Unknown}
	case n < 3 && r.Outcome == relay.Accepted && r.Seq > 0:
		r.Outcome = relay.Duplicate
	}
	return r
}

func (w *world) act() {
	switch n := w.rand.IntN(100); {
	case n < 20:
		w.send(w.anyone())
	case n < 24:
		w.broadcast(w.anyone())
	case n < 28:
		w.resend(w.anyone())
	case n < 33 && len(w.uuids) > 0:
		w.relay.Recall(chat, w.pick())
	case n < 38 && len(w.members) < 12:
		w.come()
	case n < 40:
		w.leave(w.anyone())
	case n < 41:
		w.relay.Lose()
	case n < 42:
		if w.broken {
			w.relay.Restore()
		} else {
			w.relay.Break()
		}
		w.broken = !w.broken
	case n < 43:
		w.relay.FailReads(errors.New("the store is down"))
	case n < 45:
		w.relay.FailReads(nil)
	case n < 46 && w.rand.IntN(3) == 0:
		if a := w.anyone(); a != nil {
			a.finishes = true
			a.pending.Finish(errFinished)
		}
	default:
		w.relay.Step()
	}
}

// anyone is a member, or nil: another edge.
func (w *world) anyone() *actor {
	if len(w.members) == 0 || w.rand.IntN(4) == 0 {
		return nil
	}
	if a := w.members[w.rand.IntN(len(w.members))]; a.joined.Load() && !a.left && !a.finishes {
		return a
	}
	return nil
}

func (w *world) pick() string { return w.uuids[w.rand.IntN(len(w.uuids))] }

func (w *world) send(a *actor) {
	uuid := fmt.Sprint("m", len(w.uuids))
	w.uuids = append(w.uuids, uuid)
	w.publishAs(a, stream.Message, uuid, roomtest.Data(uuid))
}

// resend sends what was sent before, by whomever.
func (w *world) resend(a *actor) {
	if a == nil || len(w.uuids) == 0 {
		return
	}
	uuid := w.pick()
	w.publishAs(a, stream.Message, uuid, roomtest.Data(uuid))
}

func (w *world) broadcast(a *actor) {
	w.low++
	text := fmt.Sprint("low ", w.low)
	if a != nil {
		a.low[text] = true
	}
	w.publishAs(a, stream.Text, "", []byte(text))
}

func (w *world) publishAs(a *actor, kind stream.Kind, uuid string, payload []byte) {
	if a == nil {
		w.publish(nil, kind, uuid, payload)
		return
	}
	p := &relay.Publication{Group: chat, Kind: kind, UUID: uuid, Payload: payload, Session: a.session, From: a}
	p.Number, _ = a.pending.Add(room.Publish{Member: a.Member, Group: chat, Kind: kind, UUID: uuid}, len(payload))
	if kind == stream.Message {
		a.sent[uuid]++
	}
	w.relay.Publish(p)
}

func (w *world) come() {
	after := ""
	if len(w.uuids) > 0 && w.rand.IntN(3) > 0 {
		after = w.pick()
	}
	a := &actor{
		member: w.newMember(after), log: w.relay.Log(chat), after: after, dups: make(map[string]int),
		recalled: make(map[string]bool), refused: make(map[string]int), sent: make(map[string]int), low: make(map[string]bool),
	}
	w.members = append(w.members, a)
	go func() {
		if err := w.registry.Join(w.Context(), chat, a.Member); err != nil {
			w.Errorf("join: %v", err)
			return
		}
		a.head = w.relay.Count(chat)
		a.joined.Store(true)
		a.out.Start(a.Peer)
		a.conn.Start(w.Context())
	}()
}

func (w *world) leave(a *actor) {
	if a != nil {
		a.left = true
		w.registry.Leave(a.Member)
	}
}

func (w *world) check() {
	for _, a := range w.members {
		if !a.joined.Load() || a.left {
			continue
		}
		events := w.relay.Log(chat).Events()
		w.wantSettled(a.member)
		if a.finishes {
			if err := a.finished(); err != nil {
				w.Errorf("session %d: %v\ngot %q", a.session, err, a.Got())
			}
			continue
		}
		got := w.withoutRefusals(a, w.withoutBroadcasts(a))
		if a.after != "" {
			if err := a.matches(events, w.indexAfter(a.after), got); err != nil {
				w.Errorf("session %d, resumed after %s: %v\ngot %q", a.session, a.after, err, got)
			}
			continue
		}
		if err := a.matchesSomewhere(events, got); err != nil {
			w.Errorf("session %d: %v\ngot %q", a.session, err, got)
		}
	}
}

// finished checks a member that went away: its connection ended in order, after an ack
// or a refusal of each message. A message that was refused with 504 may be acked, too.
func (a *actor) finished() error {
	got := a.Got()
	if len(got) == 0 || got[len(got)-1] != "close 1001" {
		return errors.New("the connection did not end with 1001")
	}
	acks := make(map[string]int)
	for _, s := range got {
		if uuid, ok := strings.CutPrefix(s, "ack "); ok {
			acks[uuid]++
		}
	}
	for uuid, sent := range a.sent {
		if n := acks[uuid]; n < sent-a.refused[uuid] || n > sent {
			return fmt.Errorf("%s was sent %d times, refused %d times and acked %d times", uuid, sent, a.refused[uuid], n)
		}
	}
	return nil
}

var errFinished = &ws.CloseError{Code: packet.CloseGoingAway, Reason: "the server is going down"}

// withoutBroadcasts checks broadcasts: at most once, never to their sender.
func (w *world) withoutBroadcasts(a *actor) (rest []string) {
	seen := make(map[string]bool)
	for _, s := range a.Got() {
		if !strings.HasPrefix(s, "low ") {
			rest = append(rest, s)
			continue
		}
		if seen[s] || a.low[s] {
			w.Errorf("session %d got %q twice, or back", a.session, s)
		}
		seen[s] = true
	}
	return rest
}

// withoutRefusals checks refusals: exactly those that were queued.
func (w *world) withoutRefusals(a *actor, got []string) (rest []string) {
	for _, s := range got {
		uuid, ok := strings.CutPrefix(s, "error 504 ")
		if !ok {
			rest = append(rest, s)
			continue
		}
		a.refused[uuid]--
	}
	for uuid, n := range a.refused {
		if n != 0 {
			w.Errorf("session %d: %d more refusals of %s were queued than came", a.session, n, uuid)
		}
	}
	return rest
}

func (w *world) indexAfter(uuid string) int {
	for i, e := range w.relay.Log(chat).Events() {
		if e.UUID == uuid && e.Kind != stream.Recall {
			return i + 1
		}
	}
	w.Fatalf("%s is not stored", uuid)
	return 0
}

// matchesSomewhere finds the place from which on a got the stream: at the
// latest where it was when it had joined.
func (a *actor) matchesSomewhere(events []stream.Event, got []string) error {
	err := a.matches(events, a.head, got)
	for start := a.head - 1; err != nil && start >= 0; start-- {
		if a.matches(events, start, got) == nil {
			return nil
		}
	}
	return err
}

// matches reports whether got is the stream from start on.
func (a *actor) matches(events []stream.Event, start int, got []string) error {
	c := cursor{
		got: got, dups: make(map[string]int), had: make(map[string]bool), before: make(map[string]bool),
		recalled: a.recalled, told: make(map[string]bool),
	}
	for uuid, n := range a.dups {
		c.dups[uuid] = n
	}
	for _, e := range events[:start] {
		if e.Kind != stream.Recall {
			c.had[e.UUID] = a.after != ""
			c.before[e.UUID] = true
		}
	}
	for _, e := range events[start:] {
		own := e.Origin.Edge == roomtest.Edge && e.Origin.ID>>32 == uint64(a.session)
		if err := c.expect(e, own); err != nil {
			return err
		}
	}
	c.acks()
	if c.at != len(got) {
		return fmt.Errorf("%q came too much", got[c.at:])
	}
	for uuid, n := range c.dups {
		if n > 0 {
			return fmt.Errorf("%d acks of the duplicate %s are missing", n, uuid)
		}
	}
	for uuid := range a.recalled {
		if !c.told[uuid] {
			return fmt.Errorf("sent %s again, which had been recalled, and was not told", uuid)
		}
	}
	return nil
}

type cursor struct {
	got  []string
	at   int
	dups map[string]int
	// Messages whose place is passed; true: the member has the text.
	had map[string]bool
	// Messages before its place. If it has not resumed, it may have them from a
	// page of history or not: it may hear of their recall or not.
	before map[string]bool
	// Messages that it sent again after they had been recalled, and those of whose
	// recall it has heard.
	recalled, told map[string]bool
}

func (c *cursor) take(want string) bool {
	if c.at < len(c.got) && c.got[c.at] == want {
		c.at++
		return true
	}
	return false
}

// acks takes acks of duplicates, which may stand anywhere after the message.
func (c *cursor) acks() {
	for c.at < len(c.got) {
		uuid, ok := strings.CutPrefix(c.got[c.at], "ack ")
		if _, passed := c.had[uuid]; !ok || !passed || c.dups[uuid] == 0 {
			return
		}
		c.dups[uuid]--
		c.at++
		if c.recalled[uuid] && !c.told[uuid] {
			c.told[uuid] = c.take("recall " + uuid)
		}
	}
}

func (c *cursor) expect(e stream.Event, own bool) error {
	c.acks()
	want := e.UUID
	switch {
	case e.Kind == stream.Recall:
		if c.told[e.UUID] {
			return nil
		}
		if !c.had[e.UUID] {
			if c.before[e.UUID] {
				c.told[e.UUID] = c.take("recall " + e.UUID)
			}
			return nil // its text was gone before it could get it
		}
		want = "recall " + e.UUID
		c.told[e.UUID] = true
	case own:
		want = "ack " + e.UUID
		c.had[e.UUID] = true
	case e.Kind == stream.Tombstone:
		c.had[e.UUID] = c.take(e.UUID)
		return nil
	default:
		c.had[e.UUID] = true
	}
	if !c.take(want) {
		return fmt.Errorf("want %q as number %d", want, c.at)
	}
	return nil
}
