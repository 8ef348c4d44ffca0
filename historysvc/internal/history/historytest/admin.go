package historytest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// purge purges a group that has n messages.
func purge(t *testing.T, s Store, g group.Name, n int) {
	t.Helper()
	if got, err := s.Purge(t.Context(), g); err != nil || got != n {
		t.Fatalf("purge: %d messages, %v; want %d", got, err, n)
	}
}

func testPurge(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	purge(t, s, g, 0)
	fill(t, s, g, "a", "b", "c")
	recall(t, s, g, "b")
	_, end, _ := readAll(t, s, g, history.Start{})
	versioned := history.Query{Size: 10, Versioned: true}
	_, before := page(t, s, g, versioned)

	purge(t, s, g, 3)
	versioned.Known = before.Version
	if got, now := page(t, s, g, versioned); len(got) > 0 || now.Unmodified {
		t.Errorf("the page after the purge: %q, unmodified %v", got, now.Unmodified)
	}
	for _, u := range []string{"a", "b", "c"} {
		if err := s.Recall(t.Context(), g, u, history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("recall of %s: %v", u, err)
		}
		if b := read(t, s, g, history.Start{AfterUUID: u}); !b.Gap || len(b.Events) > 0 {
			t.Errorf("read after %s: %+v", u, b)
		}
	}
	if b := read(t, s, g, history.Start{After: end}); !b.Gap || len(b.Events) > 0 {
		t.Errorf("read after the newest place: %+v", b)
	}
	if head := s.Heads(t.Context(), []group.Name{g})[0]; head.Err != nil || head.Position == end {
		t.Errorf("head: %+v", head)
	}

	for i, r := range fill(t, s, g, "a", "d", "b", "c") { // sent again, but for d
		if r.Duplicate != (i != 1) || r.Recalled {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	if got, _ := page(t, s, g, history.Query{Size: 10}); !cmp.Equal([]string{"d"}, got) {
		t.Errorf("history: %q", got)
	}
	recall(t, s, g, "d")
	fill(t, s, g, "e", "f")
	events, now, gap := readAll(t, s, g, history.Start{AfterUUID: "d"})
	if gap || len(events) != 3 || now.Changes != 1 {
		t.Errorf("after d: %d events to %+v, gap %v", len(events), now, gap)
	}
	purge(t, s, g, 3)
	purge(t, s, g, 0)
	if r := fill(t, s, g, "f", "g"); !r[0].Duplicate || r[1].Duplicate {
		t.Errorf("receipts after the third purge: %+v", r)
	}
}

// testPurgeDuringPublishing: what comes after the last purge is all there, in order and
// without a hole, and nothing else is.
func testPurgeDuringPublishing(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	all := numbered(600)
	purged := make(chan int, 1)
	answers := make([]<-chan history.Receipt, len(all))
	go func() {
		n := 0
		for range 20 {
			m, err := s.Purge(t.Context(), g)
			if err != nil {
				t.Errorf("purge: %v", err)
			}
			n += m
		}
		purged <- n
	}()
	for i, u := range all {
		answers[i] = submit(s, message(g, u))
	}
	for i, a := range answers {
		if r := Wait(t, a); r.Err != nil || r.Duplicate {
			t.Fatalf("receipt %d: %+v", i, r)
		}
	}
	gone := Wait(t, purged)
	left, _ := page(t, s, g, history.Query{Size: len(all)})
	if want := reversed(all[gone:]); !cmp.Equal(want, left) {
		t.Errorf("purges deleted %d, and %d are left: %q", gone, len(left), left)
	}
	events, _, _ := readAll(t, s, g, history.Start{})
	for i, e := range events {
		if i > 0 && (e.Seq != events[i-1].Seq+1 || e.Prev != events[i-1].Link) {
			t.Fatalf("event %d does not follow: %+v after %+v", i, e, events[i-1])
		}
	}
	if len(events) != len(left) {
		t.Errorf("%d events, %d messages", len(events), len(left))
	}
}

func testInspection(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	look := func() history.Inspection {
		t.Helper()
		found, err := s.Inspect(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := look(); got != (history.Inspection{}) {
		t.Errorf("a group that has nothing: %+v", got)
	}
	stored := fill(t, s, g, "a", "b", "c")
	recall(t, s, g, "b")
	got := look()
	if got.Messages != 3 || got.Seq != 3 || got.Changes != 1 || got.Bytes < 300 || got.ExpiresIn != 0 {
		t.Errorf("inspection: %+v", got)
	}
	if got.Oldest.UnixMilli() != stored[0].At || got.Newest.UnixMilli() != stored[2].At {
		t.Errorf("the oldest is of %v, the newest of %v; stored: %+v", got.Oldest, got.Newest, stored)
	}
	if err := s.SetTTL(t.Context(), g, 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := look(); got.ExpiresIn < time.Hour || got.ExpiresIn > 2*time.Hour || time.Since(got.Newest) > time.Hour {
		t.Errorf("with a ttl: %+v", got)
	}
}

func testStoredGroups(c contract) {
	t, open := c.t, c.open
	s := open(t, Options{Cap: bigCap}, nil)
	base := Room(t)
	want := make(map[group.Name]int)
	for i, u := range numbered(50) {
		g := base + "/" + group.Name(u)
		n := 1 + i%3
		want[g] = n
		fill(t, s, g, numbered(n)...)
	}
	got := make(map[group.Name]int)
	for page := ""; ; {
		groups, next, err := s.StoredGroups(t.Context(), page, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if !strings.HasPrefix(string(g.Name), string(base)) {
				continue // of other tests
			}
			got[g.Name] = g.Messages
			if g.Seq != uint64(g.Messages) || g.Bytes < 100 {
				t.Errorf("%+v", g)
			}
		}
		if page = next; page == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored groups (-want +got):\n%s", diff)
	}
	for _, page := range []string{"x", "1", "-1.0", "99.0", "0.x", "."} {
		if _, _, err := s.StoredGroups(t.Context(), page, 10); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("page %q: %v", page, err)
		}
	}
}

func testCondition(c contract) {
	s := c.open(c.t, Options{Cap: bigCap}, nil)
	got, err := s.Condition(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Contains([]string{"redis", "valkey", "embedded"}, got.Kind) || got.Nodes < 1 {
		c.t.Errorf("condition: %+v", got)
	}
	if got.Kind != "embedded" && (got.Version == "" || got.Mode == "" || got.UsedBytes == 0 || got.Clients == 0) {
		c.t.Errorf("condition: %+v", got)
	}
}
