package historytest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Copies are pages that somebody keeps with their versions, as an edge does. Its
// methods may be called at once from many goroutines.
type Copies struct {
	mu    sync.Mutex
	pages map[history.Query]history.Page
}

// Read asks for a page with the version of the copy, and returns the page, which is
// the copy if the store said that it still holds.
func (c *Copies) Read(t *testing.T, s history.Log, g group.Name, q history.Query) (page history.Page, unmodified bool) {
	t.Helper()
	c.mu.Lock()
	copied := c.pages[q]
	c.mu.Unlock()
	q.Versioned, q.Known = true, copied.Version
	page, err := s.Page(t.Context(), g, q)
	switch {
	case errors.Is(err, history.ErrNotFound):
		return history.Page{}, false
	case err != nil:
		t.Errorf("page %+v: %v", q, err)
		return history.Page{}, false
	case page.Unmodified && (copied.Version == "" || page.Version != copied.Version || page.Texts != nil || page.More):
		t.Errorf("page %+v: known %q, got unmodified %+v", q, copied.Version, page)
	case page.Unmodified:
		return copied, true
	}
	q.Versioned, q.Known = false, ""
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[history.Query]history.Page)
	}
	c.pages[q] = page
	return page, false
}

// checkPosition reads what follows a page: nothing, since nothing changes.
func checkPosition(t *testing.T, s history.Log, g group.Name, page history.Page, what string) {
	t.Helper()
	rest, err := s.Read(t.Context(), g, history.Start{After: *page.At})
	if err != nil || rest.Gap || len(rest.Events) > 0 || rest.Position != *page.At {
		t.Errorf("%s: after the page's position %+v: %+v, %v; want nothing", what, *page.At, rest, err)
	}
}

// Check compares what a keeper of copies shows with the page as it is, for all
// queries; then, since nothing changes meanwhile, all must be unmodified. changed
// says that none may be at first.
func (c *Copies) Check(t *testing.T, s history.Log, g group.Name, queries []history.Query, changed bool, what string) {
	t.Helper()
	for _, q := range queries {
		truth, err := s.Page(t.Context(), g, q)
		if err != nil && !errors.Is(err, history.ErrNotFound) {
			t.Fatalf("%s: page %+v: %v", what, q, err)
		}
		if truth.Version != "" {
			t.Errorf("%s: page %+v has version %q without being asked", what, q, truth.Version)
		}
		got, unmodified := c.Read(t, s, g, q)
		if got.At != nil && truth.At != nil { // the group is as it was when it was copied
			checkPosition(t, s, g, got, what)
		}
		version := got.Version
		got.Version = ""
		if diff := cmp.Diff(truth, got); diff != "" {
			t.Errorf("%s: page %+v, unmodified %v (-as it is +shown):\n%s", what, q, unmodified, diff)
		}
		if changed && unmodified {
			t.Errorf("%s: page %+v is unmodified", what, q)
		}
		if err != nil {
			continue
		}
		if !hasVersion(q) {
			if version != "" {
				t.Errorf("%s: page %+v has version %q", what, q, version)
			}
			continue
		}
		if again, unmodified := c.Read(t, s, g, q); !unmodified || again.Version != version {
			t.Errorf("%s: page %+v, nothing has changed: version %q, then %q, unmodified %v", what, q, version, again.Version, unmodified)
		}
	}
}

// hasVersion reports whether the page has a version: those around a message and empty
// ones have none.
func hasVersion(q history.Query) bool { return q.Before == "" && q.After == "" && q.Size > 0 }

// Queries are of all the kinds that stores may read in ways of their own.
func Queries(uuids ...string) []history.Query {
	all := []history.Query{
		{Size: 3},
		{Size: 100},
		{Size: 1000},
		{Position: 2, Size: 3},
		{Position: 1, Size: 500},
		{Position: 5000, Size: 10},
		{Position: -3, Size: 3},
		{Position: -5, Size: 2},
		{Position: -1000, Size: 10},
		{Size: 0},
		{Size: 3, Meta: true},
		{Size: 1000, Meta: true},
		{Position: -5, Size: 2, Meta: true},
	}
	for _, u := range uuids {
		all = append(all, history.Query{Before: u, Size: 4}, history.Query{After: u, Size: 4}, history.Query{Before: u, Size: 1000})
	}
	return all
}

func testVersions(c contract) {
	t, g := c.t, Room(c.t)
	one, other := c.open(t, Options{Cap: 20}, nil), c.open(t, Options{Cap: 20}, nil)
	all := numbered(60)
	var copies Copies
	queries := Queries(all[5], all[12], "never")
	check := func(changed bool, what string) {
		t.Helper()
		copies.Check(t, one, g, queries, changed, what)
	}
	check(false, "no such group")
	fill(t, one, g, all[0])
	check(true, "the first message")
	fill(t, other, g, all[1:16]...)
	check(true, "messages by way of another service")
	fill(t, other, g, all[3])
	check(false, "a duplicate")
	for _, u := range []string{all[15], all[0], all[7], all[5]} {
		recall(t, other, g, u)
		check(true, "recall of "+u)
	}
	recall(t, one, g, all[5])
	check(false, "the same recall again")
	for _, u := range all[16:40] { // past the cap
		fill(t, other, g, u)
		check(true, "message "+u)
	}
	if err := other.SetTTL(t.Context(), g, time.Hour); err != nil {
		t.Fatal(err)
	}
	check(false, "a ttl")
	loose := message(g, "")
	loose.Kind = stream.Text
	Wait(t, submit(one, loose))
	check(false, "a packet that is not stored")
}

func testVersionsAreOfOnePage(c contract) {
	t, g := c.t, Room(c.t)
	s := c.open(t, Options{Cap: bigCap}, nil)
	fill(t, s, g, numbered(10)...)
	of := func(g group.Name, q history.Query) string {
		t.Helper()
		q.Versioned = true
		p, err := s.Page(t.Context(), g, q)
		if err != nil || p.Version == "" || len(p.Version) > 64 {
			t.Fatalf("page %+v: version %q, %v", q, p.Version, err)
		}
		return p.Version
	}
	seen := make(map[string]history.Query)
	for _, q := range Queries("u0003", "u0004") {
		if !hasVersion(q) {
			continue
		}
		v := of(g, q)
		if twin, ok := seen[v]; ok {
			t.Errorf("%+v and %+v have the same version", q, twin)
		}
		seen[v] = q
	}
	twin := g + "/twin"
	fill(t, s, twin, numbered(10)...)
	if _, ok := seen[of(twin, history.Query{Size: 3})]; ok {
		t.Error("two groups with the same messages have the same version")
	}
	// Whatever somebody claims to know: it is compared, and nothing else.
	for _, known := range []string{"x", "\x00\xff", seenAny(seen) + "A"} {
		p, err := s.Page(t.Context(), g, history.Query{Size: 3, Versioned: true, Known: known})
		if err != nil || p.Unmodified || len(p.Texts) != 3 {
			t.Errorf("known %q: %+v, %v", known, p, err)
		}
	}
}

func seenAny(m map[string]history.Query) string {
	for v := range m {
		return v
	}
	return ""
}

// testCopiesAreNeverBehind has many write and read at once, with copies that all
// of them share: who has stored a message sees it, and who has recalled it does not.
func testCopiesAreNeverBehind(c contract) {
	t, g := c.t, Room(c.t)
	stores := []Store{c.open(t, Options{Cap: bigCap}, nil), c.open(t, Options{Cap: bigCap}, nil)}
	fill(t, stores[0], g, "first")
	var copies Copies
	queries := []history.Query{{Size: 100}, {Size: 1000}, {Position: -1000, Size: 1000}, {After: "first", Size: 1000}}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 20 {
				uuid := fmt.Sprintf("w%d-%d", w, i)
				if r := Wait(t, submit(stores[i%2], message(g, uuid))); r.Err != nil {
					t.Errorf("store: %v", r.Err)
					return
				}
				for n, q := range queries {
					if p, kept := copies.Read(t, stores[n%2], g, q); !slices.Contains(uuids(p.Texts), uuid) {
						t.Errorf("%+v does not show %s, which is stored (from the copy: %v)", q, uuid, kept)
					}
				}
				if err := stores[(i+1)%2].Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
					t.Errorf("recall: %v", err)
					return
				}
				for n, q := range queries {
					if p, kept := copies.Read(t, stores[n%2], g, q); slices.Contains(uuids(p.Texts), uuid) {
						t.Errorf("%+v shows %s, which is recalled (from the copy: %v)", q, uuid, kept)
					}
				}
			}
		})
	}
	writers.Wait()
}
