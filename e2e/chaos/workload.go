package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// size is how many clients there are and how much they write.
type size struct {
	rooms, listeners, publishers int
	// Mean time between two messages of a publisher.
	every time.Duration
}

// Every so many rooms, one is quiet: there, what was lost is not found by what
// comes after it.
const quietRooms = 4

// A client that can be in several rooms is in so many.
const groupsOfOne = 3

// workload is all clients of all rooms.
type workload struct {
	rooms   []*room
	edges   []string
	readers []reader
	writers []writer
	// What readers wait for, by room.
	goals map[*room][]*goal
	// How many members /__/groups should count.
	present map[*room]int
	// One for each room, for its last message.
	closers map[*room]*visitor
	zero    time.Time

	// No new messages; the readers stay.
	quitting chan struct{}
	talking  sync.WaitGroup
	living   sync.WaitGroup
}

func newWorkload(size size, edges, services []string, seed uint64, round int) *workload {
	w := &workload{
		edges: edges, zero: time.Now(), quitting: make(chan struct{}),
		goals: make(map[*room][]*goal), present: make(map[*room]int), closers: make(map[*room]*visitor),
	}
	for i := range size.rooms {
		quiet := i%quietRooms == quietRooms-1
		r := newRoom(fmt.Sprintf("/chaos/%d/%d/%d", seed, round, i), w.zero, quiet)
		w.rooms = append(w.rooms, r)
	}
	for i, r := range w.rooms {
		var near []*room
		for n := range min(groupsOfOne, size.rooms) {
			near = append(near, w.rooms[(i+n)%size.rooms])
		}
		clients := 0
		seatFor := func(kind string, n int) seat {
			clients++
			return seat{
				room: r, rooms: near, name: kind + number(n) + "of" + number(i), edges: edges, services: services, busy: size.every, pace: paceIn(r, size.every), closing: w.quitting,
				rng: rand.New(rand.NewPCG(seed, uint64(round<<32+i<<16+clients))),
			}
		}
		for _, kind := range readerKinds {
			for n := range kind.count(size) {
				c := kind.sit(seatFor(kind.name, n))
				w.readers = append(w.readers, c)
				for _, g := range c.goals() {
					w.goals[g.room] = append(w.goals[g.room], g.goal)
					if kind.present {
						w.present[g.room]++
					}
				}
			}
		}
		for _, kind := range writerKinds {
			for n := range kind.count(size) {
				w.writers = append(w.writers, kind.sit(seatFor(kind.name, n)))
			}
		}
		w.closers[r] = newVisitor(seatFor("closer", 0))
	}
	return w
}

// paceIn is the mean time between two messages of a publisher in a room, if that is every in
// most rooms.
func paceIn(r *room, every time.Duration) time.Duration {
	if r.quiet {
		return every * 20
	}
	return every
}

// start lets all clients begin; stop ends the talking, and ctx the readers.
func (w *workload) start(ctx context.Context) (stop func()) {
	talking, quit := context.WithCancel(ctx)
	for _, c := range w.readers {
		w.living.Go(func() { c.run(ctx) })
	}
	for _, c := range w.writers {
		w.talking.Go(func() { c.run(talking) })
	}
	return sync.OnceFunc(func() {
		close(w.quitting)
		quit()
		w.talking.Wait()
	})
}

// settle publishes the last message of every room and waits until every reader has
// it, for as long as within allows. The checker finds what is missing then.
func (w *workload) settle(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	sleep(ctx, time.Second) // what was refused is sent again
	var publishing sync.WaitGroup
	failed := make([]string, len(w.rooms))
	for i, r := range w.rooms {
		publishing.Go(func() { failed[i] = w.mark(r, deadline) })
	}
	publishing.Wait()
	for _, f := range failed {
		if f != "" {
			return errors.New(f)
		}
	}
	for time.Now().Before(deadline) && ctx.Err() == nil && !w.finished() {
		sleep(ctx, 50*time.Millisecond)
	}
	// Recalls and acks of late resends come after it.
	sleep(ctx, 2*time.Second)
	if !w.finished() { // the checker does not know of those that never came in
		return fmt.Errorf("not every reader has the last message %v after the last fault", within)
	}
	return nil
}

// finished reports whether every reader has the last message of its room.
func (w *workload) finished() bool {
	for _, goals := range w.goals {
		if slices.ContainsFunc(goals, func(g *goal) bool { return !g.finished() }) {
			return false
		}
	}
	return true
}

// mark publishes the last message of a room.
func (w *workload) mark(r *room, deadline time.Time) (failed string) {
	m := r.compose("end")
	for _, g := range w.goals[r] {
		g.awaits(m.UUID)
	}
	for time.Now().Before(deadline) {
		if w.closers[r].attempt(m) == http.StatusOK {
			return ""
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r.name + ": nothing can be published after the last fault"
}

// recording ends the recording, and adds what Redis holds.
func (w *workload) recording(ctx context.Context, d *database) (*check.Recording, error) {
	rec := &check.Recording{}
	for _, r := range w.rooms {
		g := r.freeze()
		texts, err := d.client.LRange(ctx, r.name, 0, -1).Result()
		if err != nil {
			return nil, fmt.Errorf("the list of %s: %w", r.name, err)
		}
		slices.Reverse(texts)
		for _, text := range texts {
			g.Final = append(g.Final, entry(r, text))
		}
		rec.Groups = append(rec.Groups, g)
	}
	rec.End = time.Since(w.zero)
	return rec, nil
}

// entry reads an element of a group's list.
func entry(r *room, text string) check.Entry {
	var p struct {
		Type    int
		Command int
		UUID    string
	}
	_ = json.Unmarshal([]byte(text), &p) // the checker reports texts that were never sent
	if p.Type == 1 && p.Command == 6 {
		return check.Entry{UUID: p.UUID}
	}
	return check.Entry{UUID: p.UUID, Text: r.text(p.UUID, text)}
}
