package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// open opens a log on b and runs it until the test ends.
func open(t *testing.T, b redistest.Backend, limit int) *Log {
	t.Helper()
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	conn, err := redisconn.Open(t.Context(), redisconn.Options{URL: b.URL(t), Embedded: b.Embedded}, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	l := New(conn, Options{
		Cap: limit, DedupeLimit: limit, Now: time.Now,
		Waiting: fairshare.Limits{Total: fairshare.Load{Items: 1000, Bytes: 1 << 20}, Group: fairshare.Load{Items: 1000, Bytes: 1 << 20}},
	}, log, reg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = conn.Close()
	})
	return l
}

// store stores messages with the uuids, one by one; duplicates stay away.
func store(t *testing.T, l *Log, g group.Name, uuids ...string) {
	t.Helper()
	for _, u := range uuids {
		done := make(chan history.Receipt, 1)
		l.Submit(&history.Publication{
			Group: g, Kind: stream.Message, UUID: u, Payload: []byte(historytest.Text(u)),
			From: historytest.Receipts(done),
		})
		if r := historytest.Wait(t, done); r.Err != nil {
			t.Fatalf("store %q: %v", u, r.Err)
		}
	}
}

// push appends to a list as the old server did.
func push(t *testing.T, l *Log, g group.Name, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := l.conn.Client().LPush(t.Context(), string(g), text).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// listOf is what Redis itself holds.
func listOf(t *testing.T, l *Log, g group.Name) []string {
	t.Helper()
	texts, err := l.conn.Client().LRange(t.Context(), string(g), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// lrangeCalls is how many LRANGEs a server has executed.
func lrangeCalls(t *testing.T, l *Log) (n int) {
	t.Helper()
	text, err := l.conn.Client().Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := redisconn.ParseInfo(text)["cmdstat_lrange"]; ok {
		if _, err := fmt.Sscanf(stat, "calls=%d", &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestUnknownUUIDsScanAnAdoptedListOnce(t *testing.T) {
	const size = 3000
	l := open(t, redistest.Single, 100)
	g := historytest.Room(t)
	for i := range size {
		push(t, l, g, historytest.Text(fmt.Sprint("u", i)))
	}
	before := lrangeCalls(t, l)
	for i := range 20 {
		_, err := l.Page(t.Context(), g, history.Query{Before: fmt.Sprint("unknown", i), Size: 1})
		if !errors.Is(err, history.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := lrangeCalls(t, l) - before; n > size/maxPart+2 {
		t.Errorf("%d reads of the list for 20 unknown uuids, want those of one scan", n)
	}
	for _, i := range []int{0, 1, size / 2, size - 1} {
		page, err := l.Page(t.Context(), g, history.Query{After: fmt.Sprint("u", i), Size: 1})
		if err != nil || i < size-1 && !slices.Equal(page.Texts, []string{historytest.Text(fmt.Sprint("u", i+1))}) {
			t.Errorf("after u%d: %q, %v", i, page.Texts, err)
		}
	}
	// What another program pushes is found, too, and moves the others.
	push(t, l, g, historytest.Text("pushed"))
	for _, u := range []string{"pushed", "u7"} {
		if _, err := l.Page(t.Context(), g, history.Query{Before: u, Size: 1}); err != nil {
			t.Errorf("before %s: %v", u, err)
		}
	}
}

func TestTooManyOldMessagesAreFoundWithoutRememberingThem(t *testing.T) {
	l := open(t, redistest.Single, 100)
	l.old = newUnindexed(300)
	large, small := historytest.Room(t), historytest.Room(t)
	for g, n := range map[group.Name]int{large: 1000, small: 200} {
		for i := range n {
			push(t, l, g, historytest.Text(fmt.Sprint("u", i)))
		}
	}
	for range 2 {
		for _, g := range []group.Name{small, large} {
			if _, err := l.Page(t.Context(), g, history.Query{Before: "u150", Size: 1}); err != nil {
				t.Errorf("%s: %v", g, err)
			}
			if _, err := l.Page(t.Context(), g, history.Query{Before: "nobody", Size: 1}); !errors.Is(err, history.ErrNotFound) {
				t.Errorf("%s: %v", g, err)
			}
			if l.old.count > 300 || l.old.count < 0 {
				t.Errorf("%d are remembered", l.old.count)
			}
		}
	}
}

// A large page is read in parts. What happens between two of them shows in no part.
func TestALargePageIsThatOfItsVersionWhileItIsRead(t *testing.T) {
	const size = 1000
	l := open(t, redistest.Single, 2*size)
	g := historytest.Room(t)
	var want []string
	uuid := func(i int) string { return fmt.Sprintf("%04d", i) }
	for i := range size {
		store(t, l, g, uuid(i))
		want = append(want, historytest.Text(uuid(i)))
	}
	slices.Reverse(want)
	ctx := t.Context()
	for _, between := range []struct {
		what    string
		does    func()
		version bool
		differs int
	}{
		{"nothing", func() {}, true, 0},
		{"messages", func() { store(t, l, g, "n1", "n2", "n3") }, true, 0},
		{"more messages than a part has", func() {
			for i := range 2 * maxPart {
				store(t, l, g, fmt.Sprint("m", i))
			}
		}, true, 0},
		{"a recall", func() {
			if err := l.Recall(ctx, g, uuid(10), history.Limit{}, stream.Author{}); err != nil {
				t.Fatal(err)
			}
		}, false, 1},
	} {
		q := history.Query{Position: int(headSeq(t, l, g)) - size, Size: size, MaxBytes: history.MaxPageBytes, Versioned: true}
		w, err := l.beginWindow(ctx, g, q, true)
		if err != nil {
			t.Fatal(err)
		}
		between.does()
		if same, err := l.completeWindow(ctx, g, q, &w); err != nil || !same {
			t.Fatalf("%s: %v, %v", between.what, same, err)
		}
		differ := 0
		for i := range w.texts {
			if w.texts[i] != want[i] {
				differ++
			}
		}
		if len(w.texts) != size || differ != between.differs || w.exact != between.version {
			t.Errorf("%s: %d texts, %d differ, exact %v", between.what, len(w.texts), differ, w.exact)
		}
	}
	// Towards newer messages, too.
	page, err := l.Page(ctx, g, history.Query{After: uuid(20), Size: 500})
	if err != nil || len(page.Texts) != 500 || page.Texts[0] != historytest.Text(uuid(21)) || page.Texts[499] != historytest.Text(uuid(520)) {
		t.Errorf("after: %d texts, %v", len(page.Texts), err)
	}
}

// When memory is short, there are no transactions: a part comes without the state that
// would show a recall.
func TestAPageReadWhileMemoryIsShortHasNoVersion(t *testing.T) {
	server := redistest.Start(t)
	l := open(t, redistest.Backend{URL: func(testing.TB) string { return server.URL() }}, 1000)
	g, ctx := historytest.Room(t), t.Context()
	for i := range 200 {
		store(t, l, g, fmt.Sprint("u", i))
	}
	q := history.Query{Size: 200, MaxBytes: history.MaxPageBytes, Versioned: true}
	w, err := l.beginWindow(ctx, g, q, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.conn.Client().ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := l.Recall(ctx, g, "u0", history.Limit{}, stream.Author{}); err != nil {
		t.Fatal(err)
	}
	if same, err := l.completeWindow(ctx, g, q, &w); err != nil || !same {
		t.Fatal(same, err)
	}
	if w.texts[199] == historytest.Text("u0") || w.exact {
		t.Errorf("oldest text %q, exact %v", w.texts[199], w.exact)
	}
}

func headSeq(t *testing.T, l *Log, g group.Name) uint64 {
	t.Helper()
	h := l.Heads(t.Context(), []group.Name{g})[0]
	if h.Err != nil {
		t.Fatal(h.Err)
	}
	return h.Position.Seq
}

// A reader that gives up stops between two parts.
func TestAnAbandonedPageStops(t *testing.T) {
	l := open(t, redistest.Single, 1000)
	g := historytest.Room(t)
	for i := range 500 {
		store(t, l, g, fmt.Sprint("u", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	q := history.Query{Size: 500, MaxBytes: history.MaxPageBytes}
	w, err := l.beginWindow(ctx, g, q, true)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	before := lrangeCalls(t, l)
	if _, err := l.completeWindow(ctx, g, q, &w); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := lrangeCalls(t, l) - before; n != 0 {
		t.Errorf("%d reads after it was abandoned", n)
	}
}
