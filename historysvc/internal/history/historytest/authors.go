package historytest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// names are what callers may be called, and what members see of it.
var names = []struct{ given, want stream.Author }{
	{},
	{stream.Author{Name: "alice"}, stream.Author{Name: "alice"}},
	{stream.Author{Name: "alice", Key: true}, stream.Author{Name: "alice", Key: true}},
	{stream.Author{Name: "\u6797\n\x00"}, stream.Author{Name: "\u6797\n\x00"}},
	{stream.Author{Name: strings.Repeat("n", stream.MaxAuthorName)}, stream.Author{Name: strings.Repeat("n", stream.MaxAuthorName)}},
	{stream.Author{Name: strings.Repeat("n", stream.MaxAuthorName+1)}, stream.Author{}},
	{stream.Author{Name: "not \xff UTF-8"}, stream.Author{}},
}

// signed is a message with a name; every other one has an author, too.
func signed(p history.Publication, i int, by stream.Author) history.Publication {
	if p.By = by; i%2 == 1 {
		p.Author = &history.Author{byte(i)}
	}
	return p
}

func testTimesAndNames(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	all := numbered(len(names))
	var answers []<-chan history.Receipt
	began := time.Now().UnixMilli()
	for i, n := range names { // at once, so that batches are mixed
		answers = append(answers,
			submit(s, signed(message(g, all[i]), i, n.given)),
			submit(s, signed(history.Publication{Group: g, Kind: stream.Text, Payload: []byte("loose")}, i, n.given)))
	}
	var at []int64
	for i, a := range answers {
		r := Wait(t, a)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if i%2 == 0 {
			at = append(at, r.At)
		}
	}
	for i, n := range names {
		if err := s.Recall(t.Context(), g, all[i], history.Limit{}, n.given); err != nil {
			t.Fatal(err)
		}
	}
	alone := Wait(t, submit(s, signed(message(g, "alone"), 1, names[1].given)))
	ended := time.Now().UnixMilli()
	heard := l.heard(t, g, 3*len(names)+1)
	for i, n := range names {
		if e := heard[2*i]; e.Kind != stream.Message || e.By != n.want || e.At != at[i] || e.At < began || e.At > ended {
			t.Errorf("message of %+v, stored at %d between %d and %d: %+v", n.given, at[i], began, ended, e)
		}
		if e := heard[2*i+1]; e.Kind != stream.Text || e.By != n.want || e.At != 0 {
			t.Errorf("text of %+v: %+v", n.given, e)
		}
		if e := heard[2*len(names)+i]; e.Kind != stream.Recall || e.By != n.want || e.At < at[i] || e.At > ended {
			t.Errorf("recall by %+v between %d and %d: %+v", n.given, at[i], ended, e)
		}
	}
	if e := heard[len(heard)-1]; alone.Err != nil || e.By != names[1].want || e.At != alone.At || e.At < began || e.At > ended {
		t.Errorf("a message alone, %+v: %+v", alone, e)
	}
	want := slices.DeleteFunc(heard, func(e stream.Event) bool { return !e.Kind.Stored() })
	for i := range names { // recalled meanwhile
		e := &want[i]
		e.Kind, e.UUID, e.Payload, e.At, e.By = stream.Tombstone, all[i], nil, 0, stream.Author{}
	}
	got, _, _ := readAll(t, s, g, history.Start{})
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-heard +read):\n%s", diff)
	}
}

func testTimeOfDuplicates(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 3}, nil)
	first := fill(t, s, g, "a", "b", "c")
	recall(t, s, g, "b")
	for later := first[2].At; later == first[2].At; later = time.Now().UnixMilli() { // else all times are the same
	}
	for i, uuid := range []string{"a", "b", "c"} {
		if r := fill(t, s, g, uuid)[0]; !r.Duplicate || r.At != first[i].At || r.Recalled != (uuid == "b") {
			t.Errorf("%s alone: %+v, stored as %+v", uuid, r, first[i])
		}
	}
	for i, r := range fill(t, s, g, "a", "b", "c", "d", "d") {
		switch {
		case i < 3 && (!r.Duplicate || r.At != first[i].At || r.Recalled != (i == 1)):
			t.Errorf("duplicate %d among others: %+v, stored as %+v", i, r, first[i])
		case i == 3:
			first = append(first, r)
		case i == 4 && (!r.Duplicate || r.Seq != 4 || r.At != first[3].At):
			t.Errorf("duplicate of the same batch: %+v, stored as %+v", r, first[3])
		}
	}
	fill(t, s, g, "e", "f", "g", "h")
	if r := fill(t, s, g, "a")[0]; !r.Duplicate || r.At != 0 {
		t.Errorf("a duplicate of what is not retained: %+v", r)
	}
}

// kinds describes events in short: a message by its uuid, a recall by its target.
func kinds(events []stream.Event) (short []string) {
	for _, e := range events {
		switch e.Kind {
		case stream.Message:
			short = append(short, uuids([]string{string(e.Payload)})[0])
		case stream.Tombstone:
			short = append(short, "-"+e.UUID)
		default:
			short = append(short, "recall "+e.UUID)
		}
	}
	return short
}

func testReadNewest(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 6}, nil)
	if b := read(t, s, g, history.Start{Newest: 3}); b.Gap || b.More || len(b.Events) > 0 || b.Position != (stream.Position{}) {
		t.Errorf("of a group that has nothing: %+v", b)
	}
	fill(t, s, g, "a", "b", "c")
	recall(t, s, g, "b")
	recall(t, s, g, "a")
	fill(t, s, g, "d", "e")
	recall(t, s, g, "d")
	for n, want := range map[int][]string{
		1:             {"e", "recall d"},
		2:             {"-d", "e", "recall d"},
		3:             {"c", "recall b", "recall a", "-d", "e", "recall d"},
		4:             {"-b", "c", "recall b", "recall a", "-d", "e", "recall d"},
		5:             {"-a", "-b", "c", "recall b", "recall a", "-d", "e", "recall d"},
		6:             {"-a", "-b", "c", "recall b", "recall a", "-d", "e", "recall d"},
		math.MaxInt32: {"-a", "-b", "c", "recall b", "recall a", "-d", "e", "recall d"},
	} {
		got, end, gap := readAll(t, s, g, history.Start{Newest: n})
		if diff := cmp.Diff(want, kinds(got)); diff != "" || gap {
			t.Errorf("the newest %d, gap %v (-want +got):\n%s", n, gap, diff)
		}
		if head := s.Heads(t.Context(), []group.Name{g})[0]; head.Position != end {
			t.Errorf("the newest %d end at %+v, the stream at %+v", n, end, head)
		}
	}
	fill(t, s, g, numbered(20)...) // past the cap
	if got, _, gap := readAll(t, s, g, history.Start{Newest: 100}); gap || len(got) != 6 {
		t.Errorf("the newest 100 of 6 that are retained: %q, gap %v", kinds(got), gap)
	}
	many := Room(t) + "/many"
	s = open(t, Options{Cap: bigCap}, nil)
	fill(t, s, many, numbered(700)...)
	if got, _, gap := readAll(t, s, many, history.Start{Newest: 600}); gap || !cmp.Equal(numbered(700)[100:], kinds(got)) {
		t.Errorf("the newest 600, piece by piece: %d events, gap %v", len(got), gap)
	}
}

func testFallbacks(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 5}, nil)
	fill(t, s, g, "lost")
	_, lost, _ := readAll(t, s, g, history.Start{})
	fill(t, s, g, "a", "b", "c", "d", "e", "f")
	recall(t, s, g, "f")
	_, head, _ := readAll(t, s, g, history.Start{})
	for name, start := range map[string]history.Start{
		"a trimmed place":             {After: lost},
		"the beginning":               {},
		"a uuid that was never there": {AfterUUID: "never"},
		"another history":             {After: stream.Position{Epoch: head.Epoch + 1, Seq: 6}},
	} {
		for from, want := range map[history.Fallback][]string{
			history.FromOldest: {"b", "c", "d", "e", "-f", "recall f"},
			history.FromNow:    nil,
			1:                  {"-f", "recall f"},
			2:                  {"e", "-f", "recall f"},
			1000:               {"b", "c", "d", "e", "-f", "recall f"},
		} {
			start.IfLost = from
			got, end, gap := readAll(t, s, g, start)
			if diff := cmp.Diff(want, kinds(got)); diff != "" || !gap || end != head {
				t.Errorf("%s, then %d: gap %v, to %+v (-want +got):\n%s", name, from, gap, end, diff)
			}
		}
	}
	for _, from := range []history.Fallback{history.FromOldest, history.FromNow, 2} {
		if got, _, gap := readAll(t, s, g, history.Start{AfterUUID: "d", IfLost: from}); gap || len(got) != 3 {
			t.Errorf("a start that is not lost, else %d: %q, gap %v", from, kinds(got), gap)
		}
		b := read(t, s, g+"/nobody", history.Start{After: head, IfLost: from})
		if !b.Gap || b.More || len(b.Events) > 0 || b.Position != (stream.Position{}) {
			t.Errorf("in a group that has nothing, else %d: %+v", from, b)
		}
	}
	if got := []history.Fallback{history.FromNewest(0), history.FromNewest(7), history.FromNewest(math.MaxUint32)}; got[0] != history.FromNow || got[1] != 7 || got[2] != math.MaxInt32 {
		t.Errorf("from the newest 0, 7 and many: %d", got)
	}
}

// metaOf is what pages must have of each message of a group, by uuid.
func metaOf(t *testing.T, s Store, g group.Name) map[string]history.Meta {
	t.Helper()
	all := make(map[string]history.Meta)
	events, _, _ := readAll(t, s, g, history.Start{})
	for _, e := range events {
		if e.Kind == stream.Message {
			all[uuids([]string{string(e.Payload)})[0]] = history.Meta{Seq: e.Seq, At: e.At, By: e.By}
		}
	}
	return all
}

func testMeta(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	all := numbered(300)
	for i, u := range all {
		if r := Wait(t, submit(s, signed(message(g, u), i, names[i%len(names)].given))); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, i := range []int{0, 10, 11, 150, 299} {
		recall(t, s, g, all[i])
	}
	want := metaOf(t, s, g)
	var queries []history.Query
	for _, size := range []int{1, 2, 50, 128, 129, 299, 1000} {
		for _, position := range []int{0, 1, 149, 298, 300, 5000, -1, -2, -50, -128, -300, -5000} {
			queries = append(queries, history.Query{Position: position, Size: size})
		}
		for _, u := range []string{all[0], all[1], all[150], all[299]} {
			queries = append(queries, history.Query{Before: u, Size: size}, history.Query{After: u, Size: size})
		}
	}
	for _, q := range queries {
		_, plain := page(t, s, g, q)
		if plain.Meta != nil {
			t.Fatalf("%+v has numbers and times without being asked", q)
		}
		q.Meta = true
		shown, got := page(t, s, g, q)
		if !cmp.Equal(plain.Texts, got.Texts) || plain.More != got.More || plain.Next != got.Next {
			t.Errorf("%+v: %q, next %d; without: %q, next %d", q, shown, got.Next, uuids(plain.Texts), plain.Next)
		}
		var expect []history.Meta
		for _, u := range shown {
			expect = append(expect, want[u])
		}
		if diff := cmp.Diff(expect, got.Meta); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
		if got.At == nil {
			t.Errorf("%+v has no position", q)
		}
	}
	if _, err := s.Page(t.Context(), g, history.Query{After: "never", Size: 1, Meta: true}); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("after an unknown message: %v", err)
	}
	if _, p := page(t, s, g+"/nobody", history.Query{Size: 9, Meta: true}); p.At == nil || *p.At != (stream.Position{}) || p.Meta != nil {
		t.Errorf("of a group that has nothing: %+v", p)
	}
}

// testPositionsOfPages reads pages while others write, and then what follows each of them:
// together, they have every message once, and every later recall.
func testPositionsOfPages(c contract) {
	t, g := c.t, Room(c.t)
	s, other := c.open(t, Options{Cap: bigCap}, nil), c.open(t, Options{Cap: bigCap}, nil)
	fill(t, s, g, "first")
	fill(t, s, g, numbered(200)...)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 150 {
			uuid := fmt.Sprint("w", i)
			if r := Wait(t, submit(other, message(g, uuid))); r.Err != nil {
				t.Errorf("store: %v", r.Err)
				return
			}
			if i%3 == 0 {
				continue
			}
			if err := other.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
				t.Errorf("recall: %v", err)
			}
		}
	}()
	var pages []history.Page
	for done := false; !done; {
		for _, q := range []history.Query{
			{Size: 1000}, {Position: -1000, Size: 1000}, {After: "first", Size: 1000},
		} {
			q.Meta = true
			_, p := page(t, s, g, q)
			pages = append(pages, p)
		}
		select {
		case <-written:
			done = true
		default:
		}
	}
	for i, p := range pages {
		if p.At == nil {
			t.Fatalf("page %d has no position", i)
		}
		seen := make(map[uint64]bool)
		for _, m := range p.Meta {
			seen[m.Seq] = true
		}
		rest, _, gap := readAll(t, s, g, history.Start{After: *p.At})
		if gap {
			t.Fatalf("page %d: a gap after its position %+v", i, *p.At)
		}
		for _, e := range rest {
			switch e.Kind {
			case stream.Message:
				seen[e.Seq] = true
			case stream.Recall:
				delete(seen, e.Target)
			}
		}
		delete(seen, 1) // "first" is not on the pages after it
		now := metaOf(t, s, g)
		delete(now, "first")
		if len(seen) != len(now) {
			t.Fatalf("page %d of %d texts, position %+v: with what follows it shows %d messages, want %d", i, len(p.Texts), *p.At, len(seen), len(now))
		}
		for _, m := range now {
			if !seen[m.Seq] {
				t.Fatalf("page %d and what follows do not show message %d", i, m.Seq)
			}
		}
	}
}
