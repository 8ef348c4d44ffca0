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

// size says how much is going on.
type size struct {
	rooms, listeners, publishers int
	// Mean time between two messages of a publisher.
	every time.Duration
}

// Every so many rooms, one is quiet: there, what was lost is not found by what
// comes after it.
const quietRooms = 4

// workload is all who talk and listen.
type workload struct {
	rooms    []*room
	members  []*member
	visitors []*visitor
	watchers []*watcher
	zero     time.Time

	// No new messages; the members stay.
	quitting chan struct{}
	talking  sync.WaitGroup
	living   sync.WaitGroup
}

func newWorkload(size size, edges, services []string, seed uint64, round int) *workload {
	w := &workload{zero: time.Now(), quitting: make(chan struct{})}
	for i := range size.rooms {
		quiet := i%quietRooms == quietRooms-1
		r := newRoom(fmt.Sprintf("/chaos/%d/%d/%d", seed, round, i), w.zero, quiet)
		w.rooms = append(w.rooms, r)
		every := size.every
		if quiet {
			every *= 20
		}
		for j := range size.listeners + size.publishers {
			m := &member{
				room: r, name: fmt.Sprintf("m%d", j), edges: edges, seen: make(map[string]bool), pending: make(map[string]*sending),
				rng: rand.New(rand.NewPCG(seed, uint64(1+round<<32+i<<16+j))), closing: w.quitting,
			}
			switch {
			case j < size.publishers:
				m.every = every
			case j == size.publishers:
				m.lowEvery = time.Second // stays where it is
			default:
				m.stays = 8 * time.Second
			}
			w.members = append(w.members, m)
		}
		v := newVisitor(r, edges, rand.New(rand.NewPCG(seed, uint64(1+round<<32+i<<16+1<<15))))
		v.publishEvery, v.recallEvery, v.readEvery = 4*every, 8*every, 5*every
		w.visitors = append(w.visitors, v)
		w.watchers = append(w.watchers, &watcher{
			room: r, services: services, rng: rand.New(rand.NewPCG(seed, uint64(1+round<<32+i<<16+1<<14))),
		})
	}
	return w
}

// start lets everybody talk; stop ends the talking, and ctx the members.
func (w *workload) start(ctx context.Context) (stop func()) {
	talking, quit := context.WithCancel(ctx)
	for _, m := range w.members {
		w.living.Go(func() { m.run(ctx) })
	}
	for _, v := range w.watchers {
		w.living.Go(func() { v.run(ctx) })
	}
	for _, v := range w.visitors {
		w.talking.Go(func() { v.run(talking) })
	}
	return sync.OnceFunc(func() {
		close(w.quitting)
		quit()
		w.talking.Wait()
	})
}

// settle publishes the last message of every room, and waits until every member
// has it, but not longer than that. What is missing then is for the checker to find.
func (w *workload) settle(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	sleep(ctx, time.Second) // what was refused is sent again
	var publishing sync.WaitGroup
	failed := make([]string, len(w.rooms))
	for i, r := range w.rooms {
		publishing.Go(func() { failed[i] = w.mark(r, w.visitors[i], deadline) })
	}
	publishing.Wait()
	for _, f := range failed {
		if f != "" {
			return errors.New(f)
		}
	}
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if !slices.ContainsFunc(w.members, func(m *member) bool { return !m.finished() }) &&
			!slices.ContainsFunc(w.watchers, func(v *watcher) bool { return !v.finished() }) {
			break
		}
		sleep(ctx, 50*time.Millisecond)
	}
	// Recalls and acks of late resends come after it.
	sleep(ctx, 2*time.Second)
	return nil
}

// mark publishes the last message of a room.
func (w *workload) mark(r *room, v *visitor, deadline time.Time) (failed string) {
	m := r.compose("end")
	for i, other := range w.members {
		if other.room == r {
			w.members[i].awaits(m.UUID)
		}
	}
	for _, watcher := range w.watchers {
		if watcher.room == r {
			watcher.awaits(m.UUID)
		}
	}
	for time.Now().Before(deadline) {
		if v.attempt(m) == http.StatusOK {
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
	_ = json.Unmarshal([]byte(text), &p) // the checker finds what nobody sent
	if p.Type == 1 && p.Command == 6 {
		return check.Entry{UUID: p.UUID}
	}
	return check.Entry{UUID: p.UUID, Text: r.text(p.UUID, text)}
}
