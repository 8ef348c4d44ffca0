package feed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// chaos does random things to a world: it publishes and recalls; its bus
// loses, repeats, delays and joins what it carries, and loses its
// subscriptions, after which it may still bring something old; the store is
// slow and fails; sinks are full for a while; followers come and go.
type chaos struct {
	*world
	rng *rand.Rand
	// The store loses events, too: the first ones by trimming, the last ones in
	// failovers.
	lossy bool
	sinks []*sink
	// What the bus has yet to bring to each group.
	wires map[group.Name]*wire
	tasks sync.WaitGroup
}

// wire brings a group's events, one call of Heard after another.
type wire struct {
	mu      sync.Mutex
	waiting []arrival
	wake    chan struct{}
}

const chaosGroups = 3

func newChaos(w *world, seed uint64, lossy bool) *chaos {
	c := &chaos{world: w, lossy: lossy, rng: rand.New(rand.NewPCG(seed, seed)), wires: make(map[group.Name]*wire)}
	w.rng = rand.New(rand.NewPCG(seed, 1))
	w.latency = func() time.Duration { return short(w.rng, 5) }
	w.fault = func() error {
		if w.rng.IntN(10) == 0 {
			return history.ErrUnavailable
		}
		return nil
	}
	for i := range chaosGroups {
		g := chaosGroup(i)
		wr := &wire{wake: make(chan struct{}, 1)}
		c.wires[g] = wr
		rng := rand.New(rand.NewPCG(seed, uint64(i+2)))
		c.tasks.Go(func() { c.carry(g, wr, rng) })
	}
	return c
}

// short is a random time of less than so many milliseconds.
func short(rng *rand.Rand, millis int64) time.Duration {
	return time.Duration(rng.Int64N(millis * int64(time.Millisecond)))
}

func chaosGroup(i int) group.Name { return group.Name(fmt.Sprint("/g", i)) }

// carry plays the bus for one group.
func (c *chaos) carry(g group.Name, wr *wire, rng *rand.Rand) {
	var old []arrival
	for range wr.wake {
		for {
			wr.mu.Lock()
			waiting := wr.waiting
			wr.waiting = nil
			wr.mu.Unlock()
			if len(waiting) == 0 {
				break
			}
			for _, h := range waiting {
				time.Sleep(short(rng, 3))
				switch rng.IntN(12) {
				case 0: // lost
				case 1: // twice
					c.hub.Heard(g, h.epoch, h.events)
					c.hub.Heard(g, h.epoch, h.events)
				case 2: // the subscription is made again: this is lost, something old comes once more
					c.hub.Subscribed(g)
					if len(old) > 0 {
						o := old[rng.IntN(len(old))]
						c.hub.Heard(g, o.epoch, o.events)
					}
				default:
					c.hub.Heard(g, h.epoch, h.events)
				}
				old = append(old, h)
			}
		}
	}
}

func (c *chaos) send(g group.Name, events ...stream.Event) {
	c.mu.Lock()
	epoch := c.group(g).epoch
	c.mu.Unlock()
	wr := c.wires[g]
	wr.mu.Lock()
	wr.waiting = append(wr.waiting, arrival{epoch, events})
	wr.mu.Unlock()
	select {
	case wr.wake <- struct{}{}:
	default:
	}
}

func (c *chaos) step() {
	g := chaosGroup(c.rng.IntN(chaosGroups))
	if c.lossy && c.rng.IntN(25) == 0 {
		c.lose(g)
		return
	}
	switch c.rng.IntN(20) {
	case 0:
		c.send(g, packet("p"))
	case 1, 2, 3:
		if head := c.headOf(g); head.Seq > 0 {
			// A message that was recalled already is not recalled again.
			if seq := 1 + c.rng.Uint64N(head.Seq); !c.groups[g].recalled[seq] {
				c.send(g, c.recall(g, seq))
			}
		}
	case 4, 5:
		c.start(g)
	case 6:
		if len(c.sinks) > 0 {
			c.sinks[c.rng.IntN(len(c.sinks))].stop()
		}
	case 7:
		if len(c.sinks) > 0 {
			s := c.sinks[c.rng.IntN(len(c.sinks))]
			s.mu.Lock()
			s.room = c.rng.IntN(4)
			s.mu.Unlock()
		}
	case 8:
		if len(c.sinks) > 0 {
			c.sinks[c.rng.IntN(len(c.sinks))].empty()
		}
	default:
		c.message(g)
	}
}

// lose trims the history or rolls it back by a few events.
func (c *chaos) lose(g group.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fg := c.group(g)
	kept := len(fg.log) - c.rng.IntN(4)
	if c.rng.IntN(2) == 0 || kept <= fg.trimmed {
		fg.trimmed += c.rng.IntN(len(fg.log) - fg.trimmed + 1)
		return
	}
	log := fg.log[:kept:kept]
	fg.log, fg.head = nil, stream.Position{}
	for i := range log {
		fg.append(log[i])
	}
	for seq := range fg.recalled {
		if seq > fg.head.Seq || !slices.ContainsFunc(log, func(e stream.Event) bool {
			return e.Kind == stream.Recall && e.Target == seq
		}) {
			delete(fg.recalled, seq)
		}
	}
}

// message stores up to three messages at once, as a group commit does.
func (c *chaos) message(g group.Name) {
	events := make([]stream.Event, 1+c.rng.IntN(3))
	for i := range events {
		events[i] = c.store(g, fmt.Sprint("u", c.rng.Uint32()))
	}
	c.send(g, events...)
	if c.rng.IntN(2) == 0 {
		c.hub.Expect(g, c.groups[g].epoch, events[len(events)-1].Seq)
	}
}

// start follows from now on, from a random place, or after a random message.
func (c *chaos) start(g group.Name) {
	c.mu.Lock()
	fg := c.group(g)
	var start Start
	if len(fg.log) > 0 {
		var at stream.Position
		n := c.rng.IntN(len(fg.log))
		for i := range n {
			at = after(fg.epoch, at, &fg.log[i])
		}
		switch e := &fg.log[n]; c.rng.IntN(3) {
		case 0:
			start.After = &at
		case 1:
			if e.Kind == stream.Message {
				start.AfterUUID = e.UUID
			}
		}
	}
	c.mu.Unlock()
	s := &sink{t: c.t, name: fmt.Sprintf("%s#%d", g, len(c.sinks)), room: -1}
	s.Follower = c.hub.NewFollower(g, start)
	s.Begin(s)
	c.sinks = append(c.sinks, s)
}

// empty makes room without waiting for what comes of it.
func (s *sink) empty() {
	s.mu.Lock()
	s.room = -1
	s.mu.Unlock()
	s.Resume()
}

// heal ends all disturbances and lets everything settle.
func (c *chaos) heal() {
	for _, wr := range c.wires {
		close(wr.wake)
	}
	c.tasks.Wait()
	c.mu.Lock()
	c.fault = nil
	c.mu.Unlock()
	for _, s := range c.sinks {
		s.empty()
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

// TestRandomSchedules: whatever happens on the way, every follower gets exactly
// what is stored after its start, in order. That each event follows the one
// before, and that recalls are silent exactly when they should be, is checked
// by sink; here, that nothing is missing at the end.
func TestRandomSchedules(t *testing.T) {
	testRandomSchedules(t, false)
}

// TestRandomSchedulesOfALossyStore: then followers may get gaps, but
// never get anything that does not follow, and all end at the head.
func TestRandomSchedulesOfALossyStore(t *testing.T) {
	testRandomSchedules(t, true)
}

func testRandomSchedules(t *testing.T, lossy bool) {
	t.Helper()
	seeds := uint64(30)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			run(t, func(w *world) {
				c := newChaos(w, seed, lossy)
				for range 400 {
					c.step()
					time.Sleep(short(c.rng, 4))
				}
				c.heal()
				for _, s := range c.sinks {
					c.check(s)
				}
			})
		})
	}
}

func (c *chaos) check(s *sink) {
	if s.ended {
		return
	}
	defer s.stop()
	head := c.headOf(group.Name(s.name[:len("/g0")]))
	if s.attached < 1 || !c.lossy && s.gaps != 0 || s.failed != nil {
		c.t.Errorf("%s: attached %d times, %d gaps, error %v", s.name, s.attached, s.gaps, s.failed)
	}
	if got := s.position(); got != head {
		c.t.Errorf("%s: ended at %+v, want %+v; got %q", s.name, got, head, s.received())
	}
}
