package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// eventually polls a condition.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// load submits messages to groups, one after another in each, until stop.
type load struct {
	store  *Store
	groups []group.Name

	stop    atomic.Bool
	running sync.WaitGroup
	mu      sync.Mutex
	// Per group the uuids that were stored, in order, and those that were not, or maybe.
	acked map[group.Name][]string
	other map[group.Name]map[string]error
}

func startLoad(s *Store, groups ...group.Name) *load {
	l := &load{store: s, groups: groups, acked: make(map[group.Name][]string), other: make(map[group.Name]map[string]error)}
	for _, g := range groups {
		l.other[g] = make(map[string]error)
		l.running.Go(func() {
			for i := 0; !l.stop.Load(); i++ {
				l.one(g, fmt.Sprintf("%d", i))
			}
		})
	}
	return l
}

func (l *load) one(g group.Name, uuid string) {
	answer := make(chan history.Receipt, 1)
	l.store.Submit(&history.Publication{
		Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(dataPacket(uuid)),
		Deadline: time.Now().Add(1500 * time.Millisecond),
		From:     historytest.Receipts(answer),
	})
	r := <-answer
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Err == nil {
		l.acked[g] = append(l.acked[g], uuid)
	} else {
		l.other[g][uuid] = r.Err
	}
}

func (l *load) count(g group.Name) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked[g])
}

func (l *load) refused(g group.Name) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.other[g])
}

func (l *load) end() {
	l.stop.Store(true)
	l.running.Wait()
}

// check compares a group's history with what its sender got.
func (l *load) check(t *testing.T, s *Store, g group.Name) {
	t.Helper()
	var stored []string
	for q := (history.Query{Size: history.MaxPageSize}); ; {
		page, err := s.Page(t.Context(), g, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range page.Texts { // newest first
			stored = append(stored, layout.UUIDOf(text))
		}
		if !page.More {
			break
		}
		q.Position = page.Next
	}
	slices.Reverse(stored)
	seen := make(map[string]bool)
	var acked []string
	for _, u := range stored {
		if seen[u] {
			t.Errorf("%s: %s is stored twice", g, u)
		}
		seen[u] = true
		switch err, failed := l.other[g][u]; {
		case !failed:
			acked = append(acked, u)
		case !errors.Is(err, history.ErrUnknown):
			t.Errorf("%s: %s is stored, but its sender got %v", g, u, err)
		}
	}
	if !slices.Equal(acked, l.acked[g]) {
		t.Errorf("%s: %d of %d acked messages are stored", g, len(acked), len(l.acked[g]))
	}
}

func TestAServerThatIsKilledAndRestartedLosesNothingThatWasAcked(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always") // everysec writes late while a disk is busy
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1<<20)}
	s := open(t, Options{Connection: Connection{URL: server.URL()}, History: History{Cap: 1 << 20}}, l)
	groups := []group.Name{room(t) + "/a", room(t) + "/b", room(t) + "/c", room(t) + "/d"}
	s.Subscribe(groups...)
	for range groups {
		wait(t, l.subscribed)
	}
	load := startLoad(s, groups...)
	for range 2 {
		before := load.count(groups[0])
		eventually(t, "appends succeed", func() bool { return load.count(groups[0]) > before+50 })
		failuresBefore, refusedBefore := metric(t, s, "gotapi_history_append_failures_total"), load.refused(groups[0])
		server.Kill()
		// Long enough for messages to be given up.
		eventually(t, "a message is refused", func() bool { return load.refused(groups[0]) > refusedBefore })
		if tries := metric(t, s, "gotapi_history_append_failures_total") - failuresBefore; tries > 60 {
			t.Errorf("%v tries in the time of an outage of about 1.5 s: a busy loop", tries)
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		for range groups {
			wait(t, l.subscribed)
		}
	}
	before := load.count(groups[0])
	eventually(t, "appends succeed again", func() bool { return load.count(groups[0]) > before })
	load.end()
	// The driver tries again once a second after many failures.
	eventually(t, "reads succeed again", func() bool { return s.Ping(t.Context()) == nil })
	for _, g := range groups {
		load.check(t, s, g)
	}
	if n := metric(t, s, "gotapi_history_bus_reconnects_total"); n > 60 {
		t.Errorf("%v new subscription connections: a busy loop", n)
	}
}

func TestAServerThatHangsStoresNothingTwice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1<<20)}
	s := open(t, Options{Connection: Connection{URL: server.URL()}, History: History{Cap: 1 << 20}}, l)
	g := room(t)
	s.Subscribe(g)
	wait(t, l.subscribed)
	load := startLoad(s, g)
	eventually(t, "appends succeed", func() bool { return load.count(g) > 20 })
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a message has an unknown outcome", func() bool {
		load.mu.Lock()
		defer load.mu.Unlock()
		for _, err := range load.other[g] {
			if errors.Is(err, history.ErrUnknown) {
				return true
			}
		}
		return false
	})
	eventually(t, "the silent subscription is given up", func() bool { return metric(t, s, "gotapi_history_bus_reconnects_total") > 0 })
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	before := load.count(g)
	eventually(t, "appends succeed again", func() bool { return load.count(g) > before+10 })
	load.end()
	eventually(t, "reads succeed again", func() bool { return s.Ping(t.Context()) == nil })
	load.check(t, s, g)
	wait(t, l.subscribed)
}

func TestAnAnswerThatIsLostMakesNoSecondCopy(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := redistest.StartCutter(t, server)
	l := &hearing{subscribed: make(chan group.Name, 10), events: make(chan stream.Event, 100)}
	through := openUntil(t, Options{Connection: Connection{URL: "redis://" + c.Addr()}})
	defer through.close()
	direct := open(t, Options{Connection: Connection{URL: server.URL()}}, l)
	g := room(t)
	direct.Subscribe(g)
	wait(t, l.subscribed)
	must(t, through.Store, g, "before")

	word := "the marked packet"
	c.Cut(word, 2)
	marked := fmt.Sprintf(`{"type":2,"uuid":"marked","body":{"data":%q}}`, word)
	answer := submitAsync(through.Store, g, "marked", marked)
	later := submitAsync(through.Store, g, "later", dataPacket("later"))
	if r := wait(t, answer); r.Err != nil || r.Seq != 2 {
		t.Errorf("marked: %+v", r)
	}
	if r := wait(t, later); r.Err != nil || r.Seq != 3 {
		t.Errorf("later: %+v", r)
	}
	if c.Left() > 0 {
		t.Fatal("no answer was swallowed: the test shows nothing")
	}
	for i, want := range []string{dataPacket("before"), marked, dataPacket("later")} {
		if e := wait(t, l.events); string(e.Payload) != want || e.Seq != uint64(i+1) {
			t.Errorf("heard %+v, want %s", e, want)
		}
	}

	// A packet that is not stored is not sent again.
	c.Cut(word, 1)
	low := make(chan history.Receipt, 1)
	through.Submit(&history.Publication{Group: g, Kind: stream.Text, Payload: []byte(word), From: historytest.Receipts(low)})
	if r := wait(t, low); !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("low-level packet: %+v", r)
	}
	if e := wait(t, l.events); string(e.Payload) != word {
		t.Errorf("heard %+v", e)
	}

	// A recall whose answer is lost is announced once.
	c.Cut("marked", 2)
	if err := through.Recall(t.Context(), g, "marked", history.Limit{}, stream.Author{}); err != nil {
		t.Errorf("recall: %v", err)
	}
	if e := wait(t, l.events); e.Kind != stream.Recall || e.Changes != 1 || e.Target != 2 {
		t.Errorf("heard %+v", e)
	}
	must(t, direct, g, "after")
	if e := wait(t, l.events); e.Kind != stream.Message || e.Seq != 4 {
		t.Errorf("heard %+v after the recall", e)
	}
}

// ending is a store that ends when close is called.
type ending struct {
	*Store
	close func()
}

func openUntil(t *testing.T, o Options) ending {
	t.Helper()
	s, cancel, running := start(t, o, nil)
	return ending{s, func() {
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}}
}

func TestAStoreThatStopsRefusesWhatIsLeft(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openUntil(t, Options{Connection: Connection{URL: server.URL()}})
	g := room(t)
	must(t, s.Store, g, "a")
	server.Kill()
	answer := submitAsync(s.Store, g, "b", dataPacket("b"))
	s.close()
	if r := wait(t, answer); !errors.Is(r.Err, history.ErrUnavailable) && !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("what waited: %+v", r)
	}
	if r := wait(t, submitAsync(s.Store, g, "c", dataPacket("c"))); !errors.Is(r.Err, history.ErrUnavailable) {
		t.Errorf("what comes later: %+v", r)
	}
}

func TestCallsDuringAnOutageFailInTime(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, g := open(t, Options{Connection: Connection{URL: server.URL()}}, nil), room(t)
	must(t, s, g, "a")
	server.Kill()
	_, pageErr := s.Page(t.Context(), g, history.Query{Size: 5})
	_, readErr := s.Read(t.Context(), g, history.Start{})
	headsErr := s.Heads(t.Context(), []group.Name{g})[0].Err
	_, membersErr := s.Members(t.Context())
	for name, err := range map[string]error{
		"page": pageErr, "read": readErr, "heads": headsErr, "members": membersErr,
		"recall": s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}), "ping": s.Ping(t.Context()),
		"report": s.Report(t.Context(), 1, true, map[group.Name]uint32{g: 1}),
	} {
		if !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reads succeed again", func() bool {
		_, err := s.Page(t.Context(), g, history.Query{Size: 5})
		return err == nil
	})
}

func TestMemoryShortageIsRefusedAtOnceAndPasses(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, g := open(t, Options{Connection: Connection{URL: server.URL()}}, nil), room(t)
	must(t, s, g, "a")
	version := func(known string) history.Page {
		t.Helper()
		p, err := s.Page(t.Context(), g, history.Query{Size: 5, Versioned: true, Known: known})
		if err != nil || p.Unmodified != (len(p.Texts) == 0) || p.Unmodified && p.Version != known {
			t.Errorf("page with its version: %+v, %v", p, err)
		}
		return p
	}
	head := s.Heads(t.Context(), []group.Name{g})[0].Position
	known := version("").Version
	if known == "" || !version(known).Unmodified {
		t.Errorf("version %q does not hold", known)
	}
	if err := s.conn.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if r := submit(t, s, g, "b", dataPacket("b")); !errors.Is(r.Err, history.ErrUnavailable) {
		t.Errorf("append: %+v", r)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("refused after %v", took)
	}
	if got := texts(t, s, g, history.Query{Size: 1000}); len(got) != 1 {
		t.Errorf("the history cannot be read meanwhile: %q", got)
	}
	// Some servers take no transactions now (Redis 7): then a page has no version.
	for _, k := range []string{"", known} {
		if p := version(k); p.Version != "" && p.Version != known {
			t.Errorf("known %q: %+v", k, p)
		}
	}
	for _, q := range []history.Query{{Size: 5}, {Position: -5, Size: 5}} {
		q.Meta = true
		p, err := s.Page(t.Context(), g, q)
		if err != nil || len(p.Texts) != 1 || len(p.Meta) != 1 || p.Meta[0].Seq != 1 || p.Meta[0].At == 0 || p.At == nil || *p.At != head {
			t.Errorf("page %+v: %+v, %v", q, p, err)
		}
	}
	if b, err := s.Read(t.Context(), g, history.Start{AfterUUID: "a"}); err != nil || len(b.Events) != 0 {
		t.Errorf("nor resumed: %+v, %v", b, err)
	}
	if err := s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}); err != nil {
		t.Errorf("nor can messages be recalled: %v", err)
	}
	if err := s.conn.Client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	must(t, s, g, "b")
	if p := version(known); p.Version == "" || p.Version == known || p.Unmodified {
		t.Errorf("the version did not come back: %+v", p)
	}
	if got := texts(t, s, g, history.Query{Size: 5}); len(got) != 1 {
		t.Errorf("history: %q", got)
	}
	// Forgotten scripts are sent again.
	if err := s.conn.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	must(t, s, g, "c")
}

// TestAChangedPasswordIsAnOutageAndNotAnEmptyHistory: Redis accepts connections, and
// refuses each.
func TestAChangedPasswordIsAnOutageAndNotAnEmptyHistory(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "old")
	s, g := open(t, Options{Connection: Connection{URL: "redis://:old@" + server.Addr}}, nil), room(t)
	must(t, s, g, "a")
	client := s.conn.Client()
	if err := client.ConfigSet(t.Context(), "requirepass", "new").Err(); err != nil {
		t.Fatal(err)
	}
	_ = client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "no").Err() // no answer comes
	for _, q := range []history.Query{{Size: 5}, {Size: 5, Versioned: true}, {Size: 1000}, {Before: "a", Size: 5}} {
		if page, err := s.Page(t.Context(), g, q); !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("page %+v: %+v, %v", q, page, err)
		}
	}
	for what, err := range map[string]error{
		"head":   s.Heads(t.Context(), []group.Name{g})[0].Err,
		"append": submit(t, s, g, "b", dataPacket("b")).Err,
		"report": s.Report(t.Context(), 1, true, map[group.Name]uint32{g: 1}),
	} {
		if !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
