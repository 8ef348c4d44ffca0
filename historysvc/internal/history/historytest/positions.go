package historytest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func testResumes(c contract) {
	for seed := range uint64(6) {
		g := Room(c.t)
		ResumeAtRandom(c.t, c.open, g, 0, seed)
	}
}

// ResumeAtRandom stores, recalls and purges in g in an order that a seed chooses, beyond the
// cap, and resumes from the text of every position that a reader had: it gets exactly the
// rest, or a gap if that is not retained. The group has messages already, m0, m1 and so on.
func ResumeAtRandom(t *testing.T, open Opener, g group.Name, stored int, seed uint64) {
	t.Helper()
	w := &resumeWorld{t: t, s: open(t, Options{Cap: resumeCap}, nil), g: g, stored: stored, rand: rand.New(rand.NewPCG(seed, 5))}
	w.begin()
	for range 60 {
		w.act()
		w.follow()
		if w.rand.IntN(6) == 0 {
			w.resumeFromEverywhere()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if w.resumed < 20 || w.gaps < 20 {
		t.Errorf("seed %d: resumed %d times, and lost the place %d times: one of the two was hardly tried", seed, w.resumed, w.gaps)
	}
}

const resumeCap = 12

// resumeWorld is a group, and a reader that has followed it since it began.
type resumeWorld struct {
	t    *testing.T
	s    Store
	g    group.Name
	rand *rand.Rand

	stored int
	// What the reader got, and its position before each event and at the end.
	events []stream.Event
	places []stream.Position
	// Events from here on are of the present epoch.
	life int
	// How often it resumed, and how often it could not.
	resumed, gaps int
}

func (w *resumeWorld) begin() {
	w.t.Helper()
	b := read(w.t, w.s, w.g, history.Start{Newest: 1000})
	at := before(b)
	w.places = append(w.places, at)
	w.take(b.Epoch, b.Events)
}

func (w *resumeWorld) act() {
	switch n := w.rand.IntN(20); {
	case n == 0:
		if _, err := w.s.Purge(w.t.Context(), w.g); err != nil {
			w.t.Fatal(err)
		}
		w.life = len(w.events)
		w.places[w.life] = w.s.Heads(w.t.Context(), []group.Name{w.g})[0].Position
	case n < 9 && w.stored > 0:
		uuid := fmt.Sprint("m", w.stored-1-w.rand.IntN(min(w.stored, resumeCap)))
		_ = w.s.Recall(w.t.Context(), w.g, uuid, history.Limit{}, stream.Author{Name: "r"}) // it may be purged
	default:
		batch := make([]string, 1+w.rand.IntN(3))
		for i := range batch {
			batch[i] = fmt.Sprint("m", w.stored)
			w.stored++
		}
		fill(w.t, w.s, w.g, batch...)
	}
}

// follow lets the reader read on from the text of its position.
func (w *resumeWorld) follow() {
	w.t.Helper()
	at := w.places[len(w.places)-1]
	got, end, gap := readAll(w.t, w.s, w.g, history.Start{After: w.asText(w.g, at)})
	if gap {
		w.t.Fatalf("a gap after %+v, though nothing is lost", at)
	}
	w.take(end.Epoch, got)
}

func (w *resumeWorld) take(epoch stream.Epoch, events []stream.Event) {
	w.t.Helper()
	for _, e := range events {
		at := w.places[len(w.places)-1]
		if v := at.Next(epoch, &e); v != stream.Follows {
			w.t.Fatalf("%+v does not follow %+v", e, at)
		}
		w.events, w.places = append(w.events, e), append(w.places, at)
	}
}

// asText is p as it comes back from a user of the group of.
func (w *resumeWorld) asText(of group.Name, p stream.Position) stream.Position {
	w.t.Helper()
	again, err := stream.ParsePosition(w.g, p.Text(of))
	if err != nil || len(p.Text(of)) > stream.MaxPositionText {
		w.t.Fatalf("%+v as %q: %v", p, p.Text(of), err)
	}
	return again
}

func (w *resumeWorld) resumeFromEverywhere() {
	w.t.Helper()
	end := w.places[len(w.places)-1]
	messages, changes := 0, 0 // after the place
	for i := len(w.places) - 1; i >= 0; i-- {
		if i < len(w.events) {
			if w.events[i].Kind == stream.Recall {
				changes++
			} else {
				messages++
			}
		}
		place := w.places[i]
		got, at, gap := readAll(w.t, w.s, w.g, history.Start{After: w.asText(w.g, place), IfLost: history.FromNow})
		if at != end {
			w.t.Errorf("after %+v: to %+v, want %+v", place, at, end)
		}
		retained := i >= w.life && messages <= resumeCap && changes <= resumeCap
		switch {
		case gap && (retained || len(got) > 0):
			w.t.Errorf("after %+v, with %d messages and %d changes behind it: a gap, then %d events", place, messages, changes, len(got))
		case gap:
			w.gaps++
		case i < w.life:
			w.t.Errorf("after %+v, from before a purge: no gap", place)
		default:
			w.resumed++
			if diff := cmp.Diff(links(w.events[i:]), links(got)); diff != "" {
				w.t.Errorf("after %+v (-followed +resumed):\n%s", place, diff)
			}
		}
		if b := read(w.t, w.s, w.g, history.Start{After: w.asText(w.g+"/other", place)}); !b.Gap {
			w.t.Errorf("after %+v of another group: no gap", place)
		}
	}
}
