package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
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
		Done:     func(r history.Receipt) { answer <- r },
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

// check compares a group's history with what its sender was told.
func (l *load) check(t *testing.T, s *Store, g group.Name) {
	t.Helper()
	var stored []string
	for q := (history.Query{Size: history.MaxPageSize}); ; {
		page, err := s.Page(t.Context(), g, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range page.Texts { // newest first
			stored = append(stored, uuidOf(text))
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
			t.Errorf("%s: %s is stored, but its sender was told %v", g, u, err)
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
	s := open(t, Options{URL: server.URL(), Cap: 1 << 20}, l)
	groups := []group.Name{room(t) + "/a", room(t) + "/b", room(t) + "/c", room(t) + "/d"}
	s.Subscribe(groups...)
	for range groups {
		wait(t, l.subscribed)
	}
	load := startLoad(s, groups...)
	for range 2 {
		before := load.count(groups[0])
		eventually(t, "appends succeed", func() bool { return load.count(groups[0]) > before+50 })
		failuresBefore, refusedBefore := testutil.ToFloat64(s.stats.retries), load.refused(groups[0])
		server.Kill()
		// Long enough for messages to be given up.
		eventually(t, "a message is refused", func() bool { return load.refused(groups[0]) > refusedBefore })
		if tries := testutil.ToFloat64(s.stats.retries) - failuresBefore; tries > 60 {
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
	if n := testutil.ToFloat64(s.stats.resubscribed); n > 60 {
		t.Errorf("%v new subscription connections: a busy loop", n)
	}
}

func TestAServerThatHangsStoresNothingTwice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := &hearing{subscribed: make(chan group.Name, 1000), events: make(chan stream.Event, 1<<20)}
	s := open(t, Options{URL: server.URL(), Cap: 1 << 20}, l)
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
	eventually(t, "the silent subscription is given up", func() bool { return testutil.ToFloat64(s.stats.resubscribed) > 0 })
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

// cutter stands between a store and its server and cuts connections when it is
// told to, so that commands are executed but not answered.
type cutter struct {
	listener net.Listener
	server   string
	// Answers to connections on which this was written are swallowed.
	cut     atomic.Pointer[string]
	swallow atomic.Int64
	conns   sync.WaitGroup
}

func startCutter(t *testing.T, server string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: server}
	c.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Go(func() { c.serve(conn) })
		}
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool
	var back sync.WaitGroup
	back.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || mute.Load() {
				client.Close()
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if word := c.cut.Load(); word != nil && c.swallow.Load() > 0 && containsBytes(buf[:n], *word) && c.swallow.Add(-1) >= 0 {
			mute.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	server.Close()
	back.Wait()
}

func containsBytes(b []byte, word string) bool {
	for i := 0; i+len(word) <= len(b); i++ {
		if string(b[i:i+len(word)]) == word {
			return true
		}
	}
	return false
}

func TestAnAnswerThatIsLostMakesNoSecondCopy(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := startCutter(t, server.Addr)
	defer func() {
		c.listener.Close()
		c.conns.Wait()
	}()
	l := &hearing{subscribed: make(chan group.Name, 10), events: make(chan stream.Event, 100)}
	through := openUntil(t, Options{URL: "redis://" + c.listener.Addr().String()})
	defer through.close()
	direct := open(t, Options{URL: server.URL()}, l)
	g := room(t)
	direct.Subscribe(g)
	wait(t, l.subscribed)
	must(t, through.Store, g, "before")

	word := "the marked packet"
	c.cut.Store(&word)
	c.swallow.Store(2)
	marked := fmt.Sprintf(`{"type":2,"uuid":"marked","body":{"data":%q}}`, word)
	answer := submitAsync(through.Store, g, "marked", marked)
	later := submitAsync(through.Store, g, "later", dataPacket("later"))
	if r := wait(t, answer); r.Err != nil || r.Seq != 2 {
		t.Errorf("marked: %+v", r)
	}
	if r := wait(t, later); r.Err != nil || r.Seq != 3 {
		t.Errorf("later: %+v", r)
	}
	if c.swallow.Load() > 0 {
		t.Fatal("no answer was swallowed: the test shows nothing")
	}
	for i, want := range []string{dataPacket("before"), marked, dataPacket("later")} {
		if e := wait(t, l.events); string(e.Payload) != want || e.Seq != uint64(i+1) {
			t.Errorf("heard %+v, want %s", e, want)
		}
	}

	// A packet that is not stored is not sent again.
	c.swallow.Store(1)
	low := make(chan history.Receipt, 1)
	through.Submit(&history.Publication{Group: g, Kind: stream.Text, Payload: []byte(word), Done: func(r history.Receipt) { low <- r }})
	if r := wait(t, low); !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("low-level packet: %+v", r)
	}
	if e := wait(t, l.events); string(e.Payload) != word {
		t.Errorf("heard %+v", e)
	}

	// A recall whose answer is lost is announced once.
	recalled := "marked"
	c.cut.Store(&recalled)
	c.swallow.Store(2)
	if err := through.Recall(t.Context(), g, "marked", history.Limit{}); err != nil {
		t.Errorf("recall: %v", err)
	}
	if e := wait(t, l.events); e.Kind != stream.Recall || e.Recalls != 1 || e.Target != 2 {
		t.Errorf("heard %+v", e)
	}
	must(t, direct, g, "after")
	if e := wait(t, l.events); e.Kind != stream.Message || e.Seq != 4 {
		t.Errorf("heard %+v after the recall", e)
	}
}

func TestTheClusterDriverSendsNothingTwice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := startCutter(t, server.Addr)
	defer func() {
		c.listener.Close()
		c.conns.Wait()
	}()
	l := &hearing{subscribed: make(chan group.Name, 10), events: make(chan stream.Event, 100)}
	direct := open(t, Options{URL: server.URL()}, l)
	g := room(t)
	direct.Subscribe(g)
	wait(t, l.subscribed)

	// A driver that takes the one server for a cluster, and retries by default.
	client, _, err := dial("redis+cluster://"+c.listener.Addr().String(), &Login{}, callTimeout)
	if err != nil {
		t.Fatal(err)
	}
	options := *client.(*redis.ClusterClient).Options()
	client.Close()
	options.ClusterSlots = func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{End: slots - 1, Nodes: []redis.ClusterNode{{Addr: c.listener.Addr().String()}}}}, nil
	}
	cluster := redis.NewClusterClient(&options)
	defer func() { _ = cluster.Close() }()
	if err := cluster.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	word := "the marked packet"
	c.cut.Store(&word)
	c.swallow.Store(1)
	s := &Store{client: cluster, publish: "publish", scripts: newScripts(true), now: time.Now}
	b := &batch{from: &backlog{name: g, keys: keysOf(g)}, items: []waiting{
		{Publication: &history.Publication{Group: g, Kind: stream.Text, Payload: []byte(word)}},
	}}
	s.execute(t.Context(), []*batch{b})
	if b.fate != unknown || c.swallow.Load() > 0 {
		t.Errorf("fate %d, %v", b.fate, b.err)
	}
	must(t, direct, g, "after")
	if e := wait(t, l.events); string(e.Payload) != word {
		t.Errorf("heard %+v", e)
	}
	if e := wait(t, l.events); e.Kind != stream.Message {
		t.Errorf("heard %+v a second time", e)
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
	s := openUntil(t, Options{URL: server.URL()})
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
	s, g := open(t, Options{URL: server.URL()}, nil), room(t)
	must(t, s, g, "a")
	server.Kill()
	_, pageErr := s.Page(t.Context(), g, history.Query{Size: 5})
	_, readErr := s.Read(t.Context(), g, history.Start{})
	headsErr := s.Heads(t.Context(), []group.Name{g})[0].Err
	_, membersErr := s.Members(t.Context())
	for name, err := range map[string]error{
		"page": pageErr, "read": readErr, "heads": headsErr, "members": membersErr,
		"recall": s.Recall(t.Context(), g, "a", history.Limit{}), "ping": s.Ping(t.Context()),
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
	s, g := open(t, Options{URL: server.URL()}, nil), room(t)
	must(t, s, g, "a")
	version := func(known string) history.Page {
		t.Helper()
		p, err := s.Page(t.Context(), g, history.Query{Size: 5, Versioned: true, Known: known})
		if err != nil || !p.Unmodified && len(p.Texts) != 1 {
			t.Errorf("page with its version: %+v, %v", p, err)
		}
		return p
	}
	known := version("").Version
	if err := s.client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
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
	for _, k := range []string{"", known} { // Redis takes no transactions now
		if p := version(k); p.Version != "" || p.Unmodified {
			t.Errorf("known %q: %+v", k, p)
		}
	}
	if b, err := s.Read(t.Context(), g, history.Start{AfterUUID: "a"}); err != nil || len(b.Events) != 0 {
		t.Errorf("nor resumed: %+v, %v", b, err)
	}
	if err := s.Recall(t.Context(), g, "a", history.Limit{}); err != nil {
		t.Errorf("nor can messages be recalled: %v", err)
	}
	if err := s.client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	must(t, s, g, "b")
	if p := version(known); p.Version == "" || p.Version == known || p.Unmodified {
		t.Errorf("the version did not come back: %+v", p)
	}
	if got := texts(t, s, g, history.Query{Size: 5}); len(got) != 1 {
		t.Errorf("history: %q", got)
	}
	// Forgotten scripts are sent anew.
	if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	must(t, s, g, "c")
}
