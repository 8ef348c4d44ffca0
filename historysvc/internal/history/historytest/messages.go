package historytest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func testOrder(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	want := numbered(700)
	receipts := fill(t, s, g, want...)
	for i, r := range receipts {
		if r.Seq != uint64(i+1) || r.Epoch != receipts[0].Epoch || r.Epoch == 0 || r.Duplicate {
			t.Fatalf("receipt %d: %+v", i, r)
		}
	}
	var at stream.Position
	for i, e := range l.heard(t, g, len(want)) {
		if v := at.Next(receipts[0].Epoch, &e); v != stream.Follows || string(e.Payload) != Text(want[i]) {
			t.Fatalf("event %d: %+v, verdict %d", i, e, v)
		}
	}
	got, _ := page(t, s, g, history.Query{Size: 1000})
	if diff := cmp.Diff(reversed(want), got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	stored, end, gap := readAll(t, s, g, history.Start{})
	if gap || end != at || len(stored) != len(want) {
		t.Errorf("read %d events to %+v, gap %v; heard %d to %+v", len(stored), end, gap, len(want), at)
	}
}

func testLoose(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	o := stream.Origin{Edge: 1 << 63, ID: 1<<40 + 7}
	publications := []history.Publication{
		{Group: g, Kind: stream.Text, Payload: []byte("first"), Origin: o},
		message(g, "a"),
		{Group: g, Kind: stream.Binary, Payload: []byte{0, 0xff, '\r', '\n'}},
		{Group: g, Kind: stream.Text, Payload: []byte{}},
		message(g, "a"),
		message(g, "b"),
		{Group: g, Kind: stream.Text, Payload: []byte("last")},
	}
	var answers []<-chan history.Receipt
	for _, p := range publications {
		answers = append(answers, submit(s, p))
	}
	for i, a := range answers {
		if r := Wait(t, a); r.Err != nil || r.Duplicate != (i == 4) {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	events := l.heard(t, g, 6)
	want := []stream.Event{
		{Kind: stream.Text, Payload: []byte("first"), Origin: o},
		{Kind: stream.Message, Seq: 1, Payload: []byte(Text("a"))},
		{Kind: stream.Binary, Payload: []byte{0, 0xff, '\r', '\n'}},
		{Kind: stream.Text},
		{Kind: stream.Message, Seq: 2, Payload: []byte(Text("b"))},
		{Kind: stream.Text, Payload: []byte("last")},
	}
	if diff := cmp.Diff(want, events, cmpopts.IgnoreFields(stream.Event{}, "Prev", "Link", "At"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	if stored, _, _ := readAll(t, s, g, history.Start{}); len(stored) != 2 {
		t.Errorf("stored %d events, want the 2 messages", len(stored))
	}
}

func testConcurrentDuplicates(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	stores := []Store{s, open(t, Options{Cap: bigCap}, nil)}
	const copies = 40
	var answers []<-chan history.Receipt
	for i := range copies {
		for _, u := range numbered(5) {
			answers = append(answers, submit(stores[i%2], message(g, u)))
		}
	}
	places := make(map[uint64]int)
	fresh := 0
	for _, a := range answers {
		r := Wait(t, a)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if !r.Duplicate {
			fresh++
		}
		places[r.Seq]++
	}
	if want := map[uint64]int{1: copies, 2: copies, 3: copies, 4: copies, 5: copies}; fresh != 5 || !cmp.Equal(want, places) {
		t.Errorf("%d were stored, places %v", fresh, places)
	}
	l.heard(t, g, 5)
	if got, _ := page(t, s, g, history.Query{Size: 100}); len(got) != 5 {
		t.Errorf("history has %q", got)
	}
}

func testOrigin(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	send := func(o stream.Origin) history.Receipt {
		return Wait(t, submit(s, history.Publication{
			Group: g, Kind: stream.Message, Origin: o, Payload: []byte(`{"type":2}`),
		}))
	}
	a, b := stream.Origin{Edge: 1, ID: 1}, stream.Origin{Edge: 1, ID: 2}
	for i, step := range []struct {
		origin    stream.Origin
		duplicate bool
		seq       uint64
	}{{a, false, 1}, {b, false, 2}, {a, true, 1}, {b, true, 2}, {stream.Origin{}, false, 3}, {stream.Origin{}, false, 4}} {
		if r := send(step.origin); r.Err != nil || r.Duplicate != step.duplicate || r.Seq != step.seq {
			t.Errorf("step %d: %+v, want %+v", i, r, step)
		}
	}
	stored, _, _ := readAll(t, s, g, history.Start{})
	if len(stored) != 4 || stored[1].Origin != b || stored[2].Origin != (stream.Origin{}) {
		t.Errorf("stored %+v", stored)
	}
}

func testResendAfterRecall(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	fill(t, s, g, "a", "b")
	recall(t, s, g, "a")
	if r := fill(t, s, g, "a")[0]; !r.Duplicate || r.Seq != 1 || !r.Recalled {
		t.Errorf("resend of a recalled message: %+v", r)
	}
	for i, r := range fill(t, s, g, "c", "b", "a") {
		if r.Duplicate != (i > 0) || r.Recalled != (i == 2) {
			t.Errorf("resend of c, b and a, of which a was recalled and c is new: receipt %d is %+v", i, r)
		}
	}
	if got, _ := page(t, s, g, history.Query{Size: 10}); !cmp.Equal([]string{"c", "b"}, got) {
		t.Errorf("history: %q", got)
	}
}

func testRecall(c contract) {
	t, open := c.t, c.open
	g, other := Room(t), Room(t)+"/other"
	s, l := listen(t, open, Options{Cap: bigCap}, g, other)
	fill(t, s, g, "a", "b", "c")
	recall(t, s, g, "b")
	recall(t, s, g, "b")
	for _, uuid := range []string{"never", ""} {
		if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("recall %q: %v", uuid, err)
		}
	}
	if err := s.Recall(t.Context(), other+"/nobody", "b", history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("recall in an unknown group: %v", err)
	}
	fill(t, s, g, "d")
	events := l.heard(t, g, 5)
	want := stream.Event{Kind: stream.Recall, Seq: 3, Changes: 1, Target: 2, UUID: "b"}
	if diff := cmp.Diff(want, events[3], cmpopts.IgnoreFields(stream.Event{}, "Prev", "Link", "At")); diff != "" {
		t.Errorf("recall (-want +got):\n%s", diff)
	}
	var at stream.Position
	for _, e := range events {
		if v := at.Next(l.of[g].epoch, &e); v != stream.Follows {
			t.Errorf("%+v: verdict %d", e, v)
		}
	}
	if got, _ := page(t, s, g, history.Query{Size: 10}); !cmp.Equal([]string{"d", "c", "a"}, got) {
		t.Errorf("history: %q", got)
	}
	stored, end, _ := readAll(t, s, g, history.Start{})
	if end != at {
		t.Errorf("the store ends at %+v, the bus at %+v", end, at)
	}
	if stored[1].Kind != stream.Tombstone || stored[1].UUID != "b" || len(stored[1].Payload) > 0 {
		t.Errorf("in the place of b: %+v", stored[1])
	}
	if diff := cmp.Diff(events[3], stored[3]); diff != "" {
		t.Errorf("recall (-heard +stored):\n%s", diff)
	}
}

// by is a message of an author; nil: nobody's.
func by(g group.Name, uuid string, author *history.Author) history.Publication {
	p := message(g, uuid)
	p.Author = author
	return p
}

func testRecallByAuthor(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	alice, bob, nobody := &history.Author{1, 2, 3}, &history.Author{1, 2, 4}, &history.Author{}
	// At once, so that batches are mixed.
	var answers []<-chan history.Receipt
	for uuid, author := range map[string]*history.Author{"alice": alice, "bob": bob, "nobody": nobody, "unknown": nil, "mine": alice} {
		answers = append(answers, submit(s, by(g, uuid, author)))
	}
	answers = append(answers, submit(s, by(g, "alice", bob))) // a resend makes nobody the author
	for _, a := range answers {
		if r := Wait(t, a); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, tt := range []struct {
		uuid  string
		limit history.Limit
		want  error
	}{
		{"bob", history.Limit{Author: alice}, history.ErrNotAuthor},
		{"nobody", history.Limit{Author: alice}, history.ErrNotAuthor},
		{"unknown", history.Limit{Author: alice}, history.ErrNotAuthor},
		{"alice", history.Limit{Author: bob}, history.ErrNotAuthor},
		{"never", history.Limit{Author: alice}, history.ErrNotFound},
		{"bob", history.Limit{Author: alice, Within: time.Hour}, history.ErrNotAuthor},
		{"alice", history.Limit{Author: alice}, nil},
		{"mine", history.Limit{Author: alice, Within: time.Hour}, nil},
		{"nobody", history.Limit{Within: time.Hour}, nil},
		{"unknown", history.Limit{Within: time.Hour}, nil},
		// What is gone already is no secret.
		{"alice", history.Limit{Author: bob}, nil},
	} {
		if err := s.Recall(t.Context(), g, tt.uuid, tt.limit, stream.Author{}); !errors.Is(err, tt.want) {
			t.Errorf("recall of %q within %+v: %v, want %v", tt.uuid, tt.limit, err, tt.want)
		}
	}
	if got, _ := page(t, s, g, history.Query{Size: 10}); !cmp.Equal([]string{"bob"}, got) {
		t.Errorf("history: %q, want bob's message only", got)
	}
	if events := l.heard(t, g, 9); events[8].Changes != 4 {
		t.Errorf("the last event: %+v, want the 4th recall", events[8])
	}
}

func testConcurrentRecalls(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	stores := []Store{s, open(t, Options{Cap: bigCap}, nil)}
	fill(t, s, g, "a", "b")
	errs := make(chan error, 32)
	for i := range cap(errs) {
		go func() {
			errs <- stores[i%2].Recall(t.Context(), g, []string{"a", "b"}[i/2%2], history.Limit{}, stream.Author{})
		}()
	}
	for range cap(errs) {
		if err := Wait(t, errs); err != nil {
			t.Error(err)
		}
	}
	fill(t, s, g, "c")
	var at stream.Position
	for _, e := range l.heard(t, g, 5) {
		if v := at.Next(l.of[g].epoch, &e); v != stream.Follows {
			t.Errorf("%+v: verdict %d", e, v)
		}
	}
}

func testDeepRecall(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	all := numbered(3000)
	fill(t, s, g, all...)
	recall(t, s, g, all[0])
	recall(t, s, g, all[1500])
	if got, _ := page(t, s, g, history.Query{Position: -2, Size: 2}); !cmp.Equal([]string{all[1]}, got) {
		t.Errorf("the oldest: %q", got)
	}
	if got, _ := page(t, s, g, history.Query{Position: 1498, Size: 3}); !cmp.Equal([]string{all[1501], all[1499]}, got) {
		t.Errorf("around the middle: %q", got)
	}
}

// busyGroup appends and recalls at random, and returns the events as heard.
func busyGroup(t *testing.T, s Store, l *ears, g group.Name, steps int) []stream.Event {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(steps)))
	n := 0
	for range steps {
		if n > 0 && random.IntN(3) == 0 {
			recall(t, s, g, fmt.Sprintf("m%d", random.IntN(n)))
			continue
		}
		batch := make([]string, 1+random.IntN(3))
		for i := range batch {
			batch[i] = fmt.Sprintf("m%d", n)
			n++
		}
		fill(t, s, g, batch...)
	}
	head := s.Heads(t.Context(), []group.Name{g})[0]
	if head.Err != nil {
		t.Fatal(head.Err)
	}
	return l.heard(t, g, int(head.Position.Seq+head.Position.Changes))
}

func testReadFromEverywhere(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	events := busyGroup(t, s, l, g, 40)
	var at stream.Position
	for i := range len(events) + 1 {
		got, _, gap := readAll(t, s, g, history.Start{After: at})
		if gap {
			t.Fatalf("gap after %d events, at %+v", i, at)
		}
		if diff := cmp.Diff(links(events[i:]), links(got)); diff != "" {
			t.Fatalf("after %d events (-heard +read):\n%s", i, diff)
		}
		if i < len(events) {
			if v := at.Next(l.of[g].epoch, &events[i]); v != stream.Follows {
				t.Fatalf("heard %+v: verdict %d", events[i], v)
			}
		}
	}
}

// links is what must be the same of an event, however it is learned of: a
// message that was recalled meanwhile is read as a tombstone.
func links(events []stream.Event) []string {
	s := make([]string, 0, len(events))
	for _, e := range events {
		kind := e.Kind
		if kind == stream.Tombstone {
			kind = stream.Message
		}
		s = append(s, fmt.Sprintf("%d %d.%d %08x %08x %d", kind, e.Seq, e.Changes, e.Prev, e.Link, e.Target))
	}
	return s
}

func testLongRead(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	all := numbered(2500)
	fill(t, s, g, all[:1300]...)
	for _, u := range all[1000:1100] {
		recall(t, s, g, u)
	}
	fill(t, s, g, all[1300:]...)
	heard := l.heard(t, g, 2600)
	got, _, gap := readAll(t, s, g, history.Start{})
	if gap {
		t.Error("gap")
	}
	if diff := cmp.Diff(links(heard), links(got)); diff != "" {
		t.Errorf("(-heard +read):\n%s", diff)
	}
	b := read(t, s, g, history.Start{})
	if !b.More || len(b.Events) < 200 || len(b.Events) > 512 {
		t.Errorf("a piece has %d events, more %v", len(b.Events), b.More)
	}
}

func testReadAfterUUID(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s, l := listen(t, open, Options{Cap: bigCap}, g)
	events := busyGroup(t, s, l, g, 30)
	for i, e := range events {
		if e.Kind != stream.Message {
			continue
		}
		uuid := uuids([]string{string(e.Payload)})[0]
		got, _, gap := readAll(t, s, g, history.Start{AfterUUID: uuid})
		if gap {
			t.Fatalf("gap after %s", uuid)
		}
		if diff := cmp.Diff(links(events[i+1:]), links(got)); diff != "" {
			t.Fatalf("after %s (-heard +read):\n%s", uuid, diff)
		}
	}
	got, _, gap := readAll(t, s, g, history.Start{AfterUUID: "never"})
	if !gap || len(got) != len(events) {
		t.Errorf("after an unknown uuid: %d of %d events, gap %v", len(got), len(events), gap)
	}
}

func testGaps(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	fill(t, s, g, "a", "b")
	recall(t, s, g, "a")
	fill(t, s, g, "c")
	_, end, _ := readAll(t, s, g, history.Start{})
	middle := read(t, s, g, history.Start{AfterUUID: "a"})
	known := before(middle)
	for name, p := range map[string]stream.Position{
		"another epoch":         {Epoch: end.Epoch + 1, Seq: end.Seq, Changes: end.Changes, Link: end.Link},
		"beyond the head":       {Epoch: end.Epoch, Seq: end.Seq + 1, Changes: end.Changes, Link: end.Link},
		"recalls not yet made":  {Epoch: end.Epoch, Seq: end.Seq, Changes: end.Changes + 1, Link: end.Link},
		"a fork at the head":    {Epoch: end.Epoch, Seq: end.Seq, Changes: end.Changes, Link: end.Link + 1},
		"a fork in the middle":  {Epoch: known.Epoch, Seq: known.Seq, Changes: known.Changes, Link: known.Link + 1},
		"a recall left out":     {Epoch: end.Epoch, Seq: end.Seq, Changes: 0, Link: end.Link},
		"a recall before time":  {Epoch: known.Epoch, Seq: known.Seq, Changes: 1, Link: known.Link},
		"far beyond the head":   {Epoch: end.Epoch, Seq: 1 << 52, Changes: 1 << 52, Link: end.Link},
		"an unknown link":       {Epoch: end.Epoch, Seq: end.Seq, Changes: end.Changes},
		"an unknown, older one": {Epoch: known.Epoch, Seq: known.Seq, Changes: known.Changes},
	} {
		got, at, gap := readAll(t, s, g, history.Start{After: p})
		if !gap || len(got) != 4 || at != end {
			t.Errorf("%s: gap %v, %d events, to %+v", name, gap, len(got), at)
		}
	}
	if _, _, gap := readAll(t, s, g, history.Start{After: known}); gap {
		t.Error("the right link is a gap")
	}
	got, at, gap := readAll(t, s, Room(t), history.Start{After: end})
	if !gap || len(got) > 0 || at != (stream.Position{}) {
		t.Errorf("a position in a group that has nothing: gap %v, %d events, to %+v", gap, len(got), at)
	}
}

func testTrimmed(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 10}, nil)
	all := numbered(30)
	fill(t, s, g, all[:15]...)
	b := read(t, s, g, history.Start{})
	if !b.Gap || len(b.Events) != 10 {
		t.Errorf("from the beginning: gap %v, %d events", b.Gap, len(b.Events))
	}
	if got, _ := page(t, s, g, history.Query{Size: 100}); !cmp.Equal(reversed(all[5:15]), got) {
		t.Errorf("history: %q", got)
	}
	// The message before the oldest one is a place from which nothing is missing.
	for uuid, wantGap := range map[string]bool{all[3]: true, all[4]: false, all[5]: false} {
		if _, _, gap := readAll(t, s, g, history.Start{AfterUUID: uuid}); gap != wantGap {
			t.Errorf("after %s: gap %v", uuid, gap)
		}
	}
	place := before(b)
	if _, _, gap := readAll(t, s, g, history.Start{After: place}); gap {
		t.Error("the place before the oldest message is a gap")
	}
	fill(t, s, g, all[15])
	if got, _, gap := readAll(t, s, g, history.Start{After: place}); !gap || len(got) != 10 {
		t.Errorf("one message later: gap %v, %d events", gap, len(got))
	}
	if err := s.Recall(t.Context(), g, all[0], history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("recall of a trimmed message: %v", err)
	}
	for _, q := range []history.Query{{Before: all[0], Size: 5}, {After: all[0], Size: 5}} {
		if _, err := s.Page(t.Context(), g, q); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("page around a trimmed message: %v", err)
		}
	}
	for _, u := range all[6:14] {
		recall(t, s, g, u)
	}
	if _, _, gap := readAll(t, s, g, history.Start{AfterUUID: all[10]}); gap {
		t.Error("gap although nothing after it is lost")
	}
}

func testForgottenRecalls(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: 3}, nil)
	all := numbered(5)
	fill(t, s, g, all[:3]...)
	for _, u := range all[:3] {
		recall(t, s, g, u)
	}
	if _, _, gap := readAll(t, s, g, history.Start{AfterUUID: all[2]}); gap {
		t.Error("gap although nothing is lost yet")
	}
	for _, u := range all[3:] {
		fill(t, s, g, u)
		recall(t, s, g, u)
	}
	// All five were recalled after the third was stored: more than are remembered.
	events, _, gap := readAll(t, s, g, history.Start{AfterUUID: all[2]})
	if !gap || len(events) != 3+4 {
		t.Errorf("gap %v, %d events", gap, len(events))
	}
}

func testHeads(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	groups := make([]group.Name, 1500)
	for i := range groups {
		groups[i] = g + group.Name(fmt.Sprintf("/%d", i))
	}
	fill(t, s, groups[3], "a", "b")
	fill(t, s, groups[1400], "a")
	recall(t, s, groups[3], "a")
	heads := s.Heads(t.Context(), groups)
	if len(heads) != len(groups) {
		t.Fatalf("%d heads, want %d", len(heads), len(groups))
	}
	for i, h := range heads {
		var want stream.Position
		if i == 3 || i == 1400 {
			_, want, _ = readAll(t, s, groups[i], history.Start{})
		}
		if h.Position != want || h.Err != nil {
			t.Errorf("head %d: %+v, want %+v", i, h, want)
		}
	}
	if heads := s.Heads(t.Context(), nil); len(heads) != 0 {
		t.Errorf("no groups: %v", heads)
	}
}

func testUnsubscribe(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	a, b := g+"/a", g+"/b"
	s, l := listen(t, open, Options{Cap: bigCap}, a, b)
	fill(t, s, a, "1")
	l.heard(t, a, 1)
	s.Unsubscribe(a)
	fill(t, s, a, "2")
	fill(t, s, b, "1")
	l.heard(t, b, 1)
	l.heard(t, a, 1)
	s.Subscribe(a)
	Wait(t, l.of[a].subscribed)
	fill(t, s, a, "3")
	if e := l.heard(t, a, 2)[1]; e.Seq != 3 {
		t.Errorf("heard %+v", e)
	}
}

func testTTL(c contract) {
	t, open := c.t, c.open
	g := Room(t)
	s := open(t, Options{Cap: bigCap}, nil)
	if err := s.SetTTL(t.Context(), g, time.Hour); err != nil {
		t.Fatal(err)
	}
	if p := read(t, s, g, history.Start{}); p.Gap || len(p.Events) > 0 {
		t.Errorf("before the first message: %+v", p)
	}
	fill(t, s, g, "a")
	if err := s.SetTTL(t.Context(), g, 100*365*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	fill(t, s, g, "b")
	if got, _ := page(t, s, g, history.Query{Size: 10}); !cmp.Equal([]string{"b", "a"}, got) {
		t.Errorf("history: %q", got)
	}
}
