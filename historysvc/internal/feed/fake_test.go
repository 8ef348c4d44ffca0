package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// world is a store and a bus in memory, and a Hub over them. What the bus does
// to events can be chosen; without choice it delivers at once.
type world struct {
	t   testing.TB
	hub *Hub
	log bytes.Buffer // read when nothing runs

	mu     sync.Mutex
	rng    *rand.Rand
	groups map[group.Name]*fakeGroup
	// Calls of Subscribe and Unsubscribe, one entry for each call.
	calls []string
	// Answers Read and Heads instead, when it returns an error.
	fault func() error
	// Events of a page.
	page int
	// Called while Read or Heads is under way, when its answer stands; without locks.
	duringRead, duringHeads func()
	reads                   int
	latency                 func() time.Duration
	// Calls of Read and Heads at one time, now and at most.
	underWay, mostUnderWay int
}

type fakeGroup struct {
	epoch      stream.Epoch
	log        []stream.Event
	recalled   map[uint64]bool // by seq
	trimmed    int             // events at the front of log that are gone
	head       stream.Position
	subscribed bool
	// Makes counters for a list that was there before; called by the first Read.
	adopted func()
}

// run starts a Hub and calls test in a synctest bubble.
func run(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(1, 2)), groups: make(map[group.Name]*fakeGroup), page: 3}
		w.hub = New(w, w, slog.New(slog.NewTextHandler(&w.log, nil)), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		var hub sync.WaitGroup
		hub.Go(func() {
			if err := w.hub.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		defer hub.Wait()
		defer cancel()
		synctest.Wait()
		test(w)
	})
}

func (w *world) group(g group.Name) *fakeGroup {
	fg := w.groups[g]
	if fg == nil {
		fg = &fakeGroup{recalled: make(map[uint64]bool)}
		w.groups[g] = fg
	}
	return fg
}

// store appends a message and returns what the bus would carry.
func (w *world) store(g group.Name, uuid string) stream.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	fg := w.group(g)
	if fg.epoch == 0 {
		fg.epoch = stream.Epoch(w.rng.Uint64() | 1)
	}
	e := stream.Event{
		Kind: stream.Message, Seq: fg.head.Seq + 1, Prev: fg.head.Link, Link: stream.Link(w.rng.Uint32()),
		UUID: uuid, Payload: []byte("text of " + uuid),
	}
	fg.append(e)
	return e
}

// recall stores a recall of the message seq.
func (w *world) recall(g group.Name, seq uint64) stream.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	fg := w.group(g)
	fg.recalled[seq] = true
	e := stream.Event{
		Kind: stream.Recall, Seq: fg.head.Seq, Changes: fg.head.Changes + 1,
		Prev: fg.head.Link, Link: stream.Link(w.rng.Uint32()), Target: seq, UUID: fmt.Sprint("u", seq),
	}
	fg.append(e)
	return e
}

func (fg *fakeGroup) append(e stream.Event) {
	fg.log = append(fg.log, e)
	fg.head = after(fg.epoch, fg.head, &e)
}

func after(epoch stream.Epoch, p stream.Position, e *stream.Event) stream.Position {
	p.Epoch, p.Seq, p.Link = epoch, e.Seq, e.Link
	if e.Kind == stream.Recall {
		p.Changes = e.Changes
	}
	return p
}

// say delivers events of room on the bus.
func (w *world) say(events ...stream.Event) {
	w.mu.Lock()
	epoch := w.group(room).epoch
	w.mu.Unlock()
	w.hub.Heard(room, epoch, events)
	synctest.Wait()
}

// publish stores a message in room and delivers it.
func (w *world) publish(uuid string) stream.Event {
	e := w.store(room, uuid)
	w.say(e)
	return e
}

func (w *world) headOf(g group.Name) stream.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.group(g).head
}

// Read implements history.Log.
func (w *world) Read(ctx context.Context, g group.Name, start history.Start) (history.Batch, error) {
	if err := w.pretend(ctx); err != nil {
		return history.Batch{}, err
	}
	batch := w.read(g, start)
	if w.duringRead != nil {
		w.duringRead()
	}
	return batch, nil
}

// pretend takes the time of a call, or fails.
func (w *world) pretend(ctx context.Context) error {
	w.mu.Lock()
	w.reads++
	w.underWay++
	w.mostUnderWay = max(w.mostUnderWay, w.underWay)
	defer func() {
		w.mu.Lock()
		w.underWay--
		w.mu.Unlock()
	}()
	var pause time.Duration
	if w.latency != nil {
		pause = w.latency()
	}
	var err error
	if w.fault != nil {
		err = w.fault()
	}
	w.mu.Unlock()
	if pause > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (w *world) read(g group.Name, start history.Start) history.Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	fg := w.group(g)
	if fg.adopted != nil {
		fg.adopted()
		fg.adopted = nil
		return history.Batch{Epoch: fg.epoch, Position: fg.head}
	}
	from, pos := fg.find(start)
	batch := history.Batch{Epoch: fg.epoch, Gap: from < fg.trimmed}
	switch {
	case start.Newest > 0:
		batch.Gap = false
		from, pos = fg.newest(start.Newest)
	case batch.Gap && start.IfLost == history.FromOldest:
		w.t.Error("a read falls back to the oldest message: retained messages are not replayed")
	case batch.Gap:
		from, pos = fg.newest(max(0, int(start.IfLost)))
	}
	for i := from; i < len(fg.log) && len(batch.Events) < w.page; i++ {
		e := fg.log[i]
		pos = after(fg.epoch, pos, &e)
		if e.Kind == stream.Message && fg.recalled[e.Seq] {
			e.Kind, e.Payload = stream.Tombstone, nil
		}
		batch.Events = append(batch.Events, e)
	}
	batch.Position = pos
	batch.More = pos != fg.head
	return batch
}

// newest returns the index of the first of the newest n messages, and the position before
// it.
func (fg *fakeGroup) newest(n int) (from int, pos stream.Position) {
	for from = len(fg.log); from > fg.trimmed && n > 0; from-- {
		if fg.log[from-1].Kind == stream.Message {
			n--
		}
	}
	for i := range fg.log[:from] {
		pos = after(fg.epoch, pos, &fg.log[i])
	}
	pos.Epoch = fg.epoch
	return from, pos
}

// find returns the index after start, and the position there; -1 if there is no
// such place.
func (fg *fakeGroup) find(start history.Start) (int, stream.Position) {
	var pos stream.Position
	if start.AfterUUID == "" && start.After == pos {
		return 0, pos
	}
	for i := range fg.log {
		e := &fg.log[i]
		pos = after(fg.epoch, pos, e)
		if start.AfterUUID != "" && e.Kind == stream.Message && e.UUID == start.AfterUUID ||
			start.AfterUUID == "" && pos == start.After {
			return i + 1, pos
		}
	}
	return -1, pos
}

// Heads implements history.Bus.
func (w *world) Heads(ctx context.Context, groups []group.Name) []history.Head {
	heads := make([]history.Head, len(groups))
	err := w.pretend(ctx)
	for i, g := range groups {
		if err == nil {
			heads[i].Position = w.headOf(g)
		}
		heads[i].Err = err
	}
	if err == nil && w.duringHeads != nil {
		w.duringHeads()
	}
	return heads
}

// Subscribe implements history.Bus.
func (w *world) Subscribe(groups ...group.Name) {
	w.note("subscribe", groups, true)
	go func() {
		for _, g := range groups {
			w.hub.Subscribed(g)
		}
	}()
}

// Unsubscribe implements history.Bus.
func (w *world) Unsubscribe(groups ...group.Name) { w.note("unsubscribe", groups, false) }

func (w *world) note(what string, groups []group.Name, subscribed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	groups = slices.Sorted(slices.Values(groups))
	w.calls = append(w.calls, fmt.Sprint(what, " ", groups))
	for _, g := range groups {
		if w.group(g).subscribed == subscribed {
			w.t.Errorf("%s %s: it was so already", what, g)
		}
		w.group(g).subscribed = subscribed
	}
}

func (w *world) Submit(*history.Publication) { panic("a follower publishes nothing") }

func (w *world) Page(context.Context, group.Name, history.Query) (history.Page, error) {
	return history.Page{}, errors.ErrUnsupported
}

func (w *world) Recall(context.Context, group.Name, string, history.Limit, stream.Author) error {
	return errors.ErrUnsupported
}

func (w *world) SetTTL(context.Context, group.Name, time.Duration) error {
	return errors.ErrUnsupported
}

// sink records what it gets and checks what every sink relies on.
type sink struct {
	t    testing.TB
	name string
	*Follower

	mu sync.Mutex
	// Room for that many more events; -1: any number.
	room     int
	refusals int
	starts   []stream.Position
	pos      stream.Position
	attached int
	gaps     int
	lost     int
	got      []string
	failed   error
	ended    bool
}

func (w *world) follow(g group.Name, start Start) *sink {
	s := &sink{t: w.t, name: string(g), room: -1}
	s.Follower = w.hub.NewFollower(g, start)
	s.Begin(s)
	synctest.Wait()
	return s
}

func (s *sink) stop() {
	s.Stop()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
}

func (s *sink) Attached(at stream.Position, gap bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.failed != nil || (s.attached > 0 && !gap) {
		s.t.Errorf("%s: attached at %v, gap %v, after the end or again", s.name, at, gap)
	}
	s.attached++
	s.starts = append(s.starts, at)
	if gap {
		s.gaps++
		s.got = append(s.got, "gap")
	}
	s.pos = at
}

func (s *sink) Deliver(epoch stream.Epoch, events []stream.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached == 0 || s.ended || s.failed != nil || len(events) == 0 {
		s.t.Errorf("%s: %d events before the beginning or after the end", s.name, len(events))
	}
	if s.room >= 0 && s.room < len(events) {
		s.refusals++
		return false
	}
	if s.room > 0 {
		s.room -= len(events)
	}
	for i := range events {
		s.take(epoch, &events[i])
	}
	return true
}

func (s *sink) take(epoch stream.Epoch, e *stream.Event) {
	before := s.pos
	if v := s.pos.Next(epoch, e); v != stream.Follows {
		s.t.Errorf("%s: %+v does not follow %+v: %v", s.name, *e, before, v)
	}
	switch e.Kind {
	case stream.Message:
		s.got = append(s.got, e.UUID)
	case stream.Tombstone:
		s.got = append(s.got, "tombstone "+e.UUID)
	case stream.Recall:
		s.got = append(s.got, "recall "+e.UUID)
	default:
		s.got = append(s.got, "packet "+string(e.Payload))
	}
}

func (s *sink) Lost(packets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached == 0 || s.ended || packets < 1 {
		s.t.Errorf("%s: %d packets are lost before the beginning or after the end", s.name, packets)
	}
	s.lost += packets
}

func (s *sink) Failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// makeRoom lets the sink take any number of events again.
func (s *sink) makeRoom() {
	s.mu.Lock()
	s.room = -1
	s.mu.Unlock()
	s.Resume()
	synctest.Wait()
}

func (s *sink) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *sink) position() stream.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos
}
