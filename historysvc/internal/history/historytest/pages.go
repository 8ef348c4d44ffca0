package historytest

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// window is what a page is by section 4 of docs/protocol.md, on a list that
// is newest first and has "" in the place of recalled messages.
func window(list []string, position, size int) (texts []string, next int, more bool) {
	start := position
	if start < 0 {
		start = max(0, len(list)+start)
	}
	end := min(start+size, len(list))
	for i := start; i < end; i++ {
		if list[i] != "" {
			texts = append(texts, list[i])
		}
	}
	if size == 0 || end >= len(list) || start >= len(list) {
		return texts, 0, false
	}
	if position < 0 {
		return texts, end - len(list), true
	}
	return texts, end, true
}

func testPages(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	all := numbered(300)
	fill(t, s, g, all...)
	list := reversed(all)
	for _, i := range []int{0, 1, 150, 299} {
		recall(t, s, g, list[i])
		list[i] = ""
	}
	positions := []int{0, 1, 2, 149, 299, 300, 301, 5000, math.MaxInt32, -1, -2, -50, -127, -128, -129, -299, -300, -301, -5000, math.MinInt32}
	sizes := []int{0, 1, 2, 50, 127, 128, 129, 299, 300, 301, 10000, 20000}
	for _, p := range positions {
		for _, n := range sizes {
			want, next, more := window(list, p, n)
			got, page := page(t, s, g, history.Query{Position: p, Size: n})
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("position %d, size %d (-want +got):\n%s", p, n, diff)
			}
			if page.Next != next || page.More != more {
				t.Fatalf("position %d, size %d: next %d, %v; want %d, %v", p, n, page.Next, page.More, next, more)
			}
		}
	}
}

func testPagesAround(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	all := numbered(300)
	fill(t, s, g, all...)
	// A long run of recalled messages must not look like an end.
	for _, u := range all[100:200] {
		recall(t, s, g, u)
	}
	left := slices.Concat(all[:100], all[200:])
	for _, size := range []int{41, 250} {
		var got []string
		for cursor := all[299]; ; {
			part, p := page(t, s, g, history.Query{Before: cursor, Size: size})
			got = append(got, part...)
			if !p.More {
				break
			}
			if len(part) != size {
				t.Fatalf("a page in the middle has %d of %d", len(part), size)
			}
			cursor = part[len(part)-1]
		}
		if diff := cmp.Diff(reversed(left[:len(left)-1]), got); diff != "" {
			t.Fatalf("before, by %d (-want +got):\n%s", size, diff)
		}
	}
	got, p := page(t, s, g, history.Query{After: all[98], Size: 3})
	if !cmp.Equal([]string{all[99], all[200], all[201]}, got) || !p.More {
		t.Errorf("after: %q, more %v", got, p.More)
	}
	got, p = page(t, s, g, history.Query{After: all[150], Size: 10000})
	if !cmp.Equal(all[200:], got) || p.More {
		t.Errorf("after a recalled one: %d, more %v", len(got), p.More)
	}
	got, p = page(t, s, g, history.Query{After: all[299], Size: 10})
	if len(got) > 0 || p.More {
		t.Errorf("after the newest: %q, more %v", got, p.More)
	}
	for _, q := range []history.Query{{Before: "never", Size: 1}, {After: "never", Size: 1}} {
		if _, err := s.Page(t.Context(), g, q); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func testPagesByNumber(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 300}, nil)
	all := numbered(320)
	fill(t, s, g, all...)
	for _, u := range all[100:200] {
		recall(t, s, g, u)
	}
	shown := make(map[uint64]bool) // by number: 20 are trimmed
	for n := uint64(21); n <= 320; n++ {
		shown[n] = n <= 100 || n > 200
	}
	for _, n := range []uint64{0, 1, 20, 21, 22, 100, 101, 150, 200, 201, 319, 320, 321, 5000, math.MaxUint64} {
		for _, newer := range []bool{false, true} {
			for _, size := range []int{1, 7, 128, 1000} {
				var want []uint64
				more := false
				for i := uint64(21); i <= 320; i++ {
					at := 341 - i // newest first
					if newer {
						at = i
					}
					if newer && at <= n || !newer && at >= n {
						continue
					}
					if more = len(want) == size; more {
						break
					}
					if shown[at] {
						want = append(want, at)
					}
				}
				_, got := page(t, s, g, history.Query{Seq: &n, Newer: newer, Size: size, Meta: true})
				var numbers []uint64
				for i, m := range got.Meta {
					numbers = append(numbers, m.Seq)
					if got.Texts[i] != Text(all[m.Seq-1]) {
						t.Errorf("number %d has the text %s", m.Seq, got.Texts[i])
					}
				}
				if !slices.Equal(want, numbers) || got.More != more {
					t.Errorf("from %d, newer %t, size %d: %d, more %t; want %d, more %t", n, newer, size, numbers, got.More, want, more)
				}
			}
		}
	}
	one := uint64(1)
	if _, p := page(t, s, g+"/nobody", history.Query{Seq: &one, Size: 9}); len(p.Texts) > 0 || p.More {
		t.Errorf("of a group that has nothing: %+v", p)
	}
}

func testLargePage(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	const size, n = 1 << 20, 10
	for _, u := range numbered(n) {
		p := message(g, u)
		p.Payload = []byte(Text(u) + strings.Repeat(" ", size-len(Text(u))))
		if r := Wait(t, submit(s, p)); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, q := range []history.Query{
		{Position: 0, Size: 20}, {Position: -20, Size: 20}, {Position: -500, Size: 10000},
	} {
		var got []string
		for more, next := true, q; more; {
			texts, p := page(t, s, g, next)
			if len(texts) > 8 || len(texts) == 0 {
				t.Fatalf("%+v: %d texts of 1 MiB", next, len(texts))
			}
			got = append(got, texts...)
			more, next.Position = p.More, p.Next
		}
		if diff := cmp.Diff(reversed(numbered(n)), got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	if texts, p := page(t, s, g, history.Query{Before: "u0009", Size: 20}); len(texts) != 8 || !p.More {
		t.Errorf("before: %d texts, more %v", len(texts), p.More)
	}
	b := read(t, s, g, history.Start{})
	if len(b.Events) > 2 || !b.More {
		t.Errorf("a piece has %d events of 1 MiB, more %v", len(b.Events), b.More)
	}
	if got, _, _ := readAll(t, s, g, history.Start{}); len(got) != n {
		t.Errorf("read %d events", len(got))
	}
}

func testUnknownGroup(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	for _, q := range []history.Query{{Size: 10}, {Position: -5, Size: 10}, {Size: 1000}, {Position: 7, Size: 1000}} {
		if got, p := page(t, s, g, q); len(got) > 0 || p.More {
			t.Errorf("%+v: %q, more %v", q, got, p.More)
		}
	}
	b := read(t, s, g, history.Start{})
	if b.Gap || b.More || len(b.Events) > 0 || b.Position != (stream.Position{}) {
		t.Errorf("read: %+v", b)
	}
	if b := read(t, s, g, history.Start{AfterUUID: "u"}); !b.Gap || len(b.Events) > 0 {
		t.Errorf("read after a uuid: %+v", b)
	}
}

func testPresence(ct contract) {
	t, open := ct.t, ct.open
	s := open(t, Options{Cap: bigCap}, nil)
	g := Room(t)
	a, b, c := g+"/a", g+"/b", g+"/c"
	edge1, edge2 := uint64(1<<63+7), uint64(len(g))
	report := func(edge uint64, full bool, members map[group.Name]uint32) {
		t.Helper()
		if err := s.Report(t.Context(), edge, full, members); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want map[group.Name]uint32) {
		t.Helper()
		all, err := s.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Fatalf("members (-want +got):\n%s", diff)
		}
		sum := uint64(0)
		for name, n := range want {
			if one, err := s.MembersOf(t.Context(), name); err != nil || one != n {
				t.Fatalf("members of %s: %d, %v; want %d", name, one, err, n)
			}
			sum += uint64(n)
		}
		if one, err := s.MembersOf(t.Context(), g+"/nobody"); err != nil || one != 0 {
			t.Fatalf("members of an empty group: %d, %v", one, err)
		}
		edges, err := s.Edges(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range edges {
			sum -= e.Members
		}
		if sum != 0 {
			t.Fatalf("the edges have %+v", edges)
		}
	}
	expect(map[group.Name]uint32{})
	report(edge1, true, map[group.Name]uint32{a: 2, b: 1})
	report(edge2, false, map[group.Name]uint32{a: 1})
	expect(map[group.Name]uint32{a: 3, b: 1})
	report(edge1, false, map[group.Name]uint32{b: 0, c: 4})
	expect(map[group.Name]uint32{a: 3, c: 4})
	report(edge1, false, nil)
	expect(map[group.Name]uint32{a: 3, c: 4})
	report(edge1, true, map[group.Name]uint32{b: 5, c: 0})
	expect(map[group.Name]uint32{a: 1, b: 5})
	report(edge1, true, nil)
	expect(map[group.Name]uint32{a: 1})
	if err := s.Leave(t.Context(), edge2); err != nil {
		t.Fatal(err)
	}
	expect(map[group.Name]uint32{})
	many := make(map[group.Name]uint32)
	for _, u := range numbered(3000) {
		many[g+"/"+group.Name(u)] = 7
	}
	report(edge1, true, many)
	if all, err := s.Members(t.Context()); err != nil || !cmp.Equal(many, all) {
		t.Fatalf("%d of %d groups, %v", len(all), len(many), err)
	}
	if err := s.Leave(t.Context(), edge1); err != nil {
		t.Fatal(err)
	}
	expect(map[group.Name]uint32{})
}
