package historytest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func testGroupOptions(c contract) {
	t, small, usual := c.t, Room(c.t)+"/small", Room(c.t)+"/usual"
	var most atomic.Int64
	most.Store(3)
	s := c.open(t, Options{Cap: 10, Of: func(g group.Name) GroupOptions {
		if g == small {
			return GroupOptions{Cap: int(most.Load()), Retention: time.Hour}
		}
		return GroupOptions{}
	}}, nil)
	keep := func(g group.Name, want int) {
		t.Helper()
		texts, _ := page(t, s, g, history.Query{Size: 100})
		if len(texts) != want {
			t.Errorf("%s keeps %d messages, want %d", g, len(texts), want)
		}
	}
	all := numbered(20)
	fill(t, s, small, all...)
	fill(t, s, usual, all...)
	keep(small, 3)
	keep(usual, 10)
	for g, expires := range map[group.Name]bool{small: true, usual: false} {
		found, err := s.Inspect(t.Context(), g)
		if err != nil || (found.ExpiresIn > 0) != expires || found.ExpiresIn > time.Hour {
			t.Errorf("%s expires in %v (%v), want that it expires: %v", g, found.ExpiresIn, err, expires)
		}
	}
	// What changes holds from the next message on.
	most.Store(5)
	keep(small, 3)
	fill(t, s, small, "v1", "v2", "v3")
	keep(small, 5)
	if r := fill(t, s, small, "v1"); !r[0].Duplicate {
		t.Error("a message is forgotten with the settings")
	}
}

func testTransient(c contract) {
	t, g := c.t, Room(c.t)
	var transient atomic.Bool
	s, l := listen(t, c.open, Options{Cap: bigCap, Of: func(group.Name) GroupOptions {
		return GroupOptions{Transient: transient.Load()}
	}}, g)
	before := fill(t, s, g, "stored")[0]
	l.heard(t, g, 1)

	transient.Store(true)
	for n := range 2 { // nothing is a duplicate
		p := message(g, "u")
		p.Origin = stream.Origin{Edge: 7, ID: 8}
		r := Wait(t, submit(s, p))
		if r.Err != nil || r.Stored() || r.Duplicate || r.Seq != 0 || r.Epoch != 0 {
			t.Errorf("a message: %+v", r)
		}
		got := l.heard(t, g, n+2)[n+1]
		want := stream.Event{Kind: stream.Text, Origin: p.Origin, Payload: p.Payload}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
	}
	again := message(g, "u")
	again.Again = true
	if r := Wait(t, submit(s, again)); !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("a message that may have been sent: %+v, want an unknown outcome", r)
	}
	if err := s.Recall(t.Context(), g, "u", history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("recall of a message that is not stored: %v", err)
	}

	// What was stored stays, can be recalled, and comes before what follows.
	if texts, _ := page(t, s, g, history.Query{Size: 10}); len(texts) != 1 {
		t.Errorf("the page has %d messages, want that of before", len(texts))
	}
	transient.Store(false)
	if r := fill(t, s, g, "stored", "u"); !r[0].Duplicate || r[1].Seq != before.Seq+1 {
		t.Errorf("then: %+v, after %+v", r, before)
	}
	recall(t, s, g, "stored")
}

func testNameless(c contract) {
	t, named, nameless := c.t, Room(c.t)+"/named", Room(c.t)+"/nameless"
	s, l := listen(t, c.open, Options{Cap: bigCap, Of: func(g group.Name) GroupOptions {
		return GroupOptions{Nameless: g == nameless}
	}}, named, nameless)
	alice := stream.Author{Name: "alice"}
	for g, want := range map[group.Name]stream.Author{named: alice, nameless: {}} {
		stored, loose := message(g, "u"), history.Publication{Group: g, Kind: stream.Text, Payload: []byte("hello"), By: alice}
		stored.By = alice
		for _, p := range []history.Publication{stored, loose} {
			if r := Wait(t, submit(s, p)); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if err := s.Recall(t.Context(), g, "u", history.Limit{}, alice); err != nil {
			t.Fatal(err)
		}
		for _, e := range l.heard(t, g, 3) {
			if e.By != want {
				t.Errorf("%s: %+v, want the name %+v", g, e, want)
			}
		}
		for _, e := range read(t, s, g, history.Start{}).Events {
			if e.Kind == stream.Recall && e.By != want {
				t.Errorf("%s, read: %+v, want the name %+v", g, e, want)
			}
		}
	}
}
