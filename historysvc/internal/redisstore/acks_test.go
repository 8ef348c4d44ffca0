package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// replicated starts a master with a replica.
func replicated(t *testing.T) (master, replica *redistest.Server) {
	t.Helper()
	master = redistest.Start(t, "--repl-diskless-sync-delay", "0")
	return master, redistest.StartReplica(t, master)
}

var oneReplica = Acks{Replicas: 1, Timeout: time.Second}

// hears subscribes a store to g.
func hears(t *testing.T, o Options, g group.Name) (*Store, *hearing) {
	t.Helper()
	l := &hearing{subscribed: make(chan group.Name, 100), events: make(chan stream.Event, 1000)}
	s := open(t, o, l)
	s.Subscribe(g)
	wait(t, l.subscribed)
	return s, l
}

// TestContractWithAcksOfReplicas runs everything that a store must do with acks
// that wait.
func TestContractWithAcksOfReplicas(t *testing.T) {
	master, _ := replicated(t)
	nodes := redistest.StartReplicatedCluster(t)
	for name, url := range map[string]string{"redis": master.SocketURL(), "cluster": nodes.URL()} {
		t.Run(name, func(t *testing.T) {
			historytest.Run(t, func(*testing.T) historytest.Opener {
				return func(t *testing.T, o historytest.Options, l history.Listener) historytest.Store {
					t.Helper()
					return open(t, Options{URL: url, Cap: o.Cap, Acks: Acks{Replicas: 1}}, l)
				}
			})
		})
	}
}

func TestAMessageIsAckedAndPassedOnOnlyWhenAReplicaHasIt(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	g := room(t)
	s, l := hears(t, Options{URL: master.URL(), Acks: oneReplica}, g)
	must(t, s, g, "a")
	if e := wait(t, l.events); e.Seq != 1 {
		t.Errorf("heard %+v", e)
	}
	at := end(t, s, g)

	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	short := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: g, Kind: stream.Message, UUID: "b", Payload: []byte(dataPacket("b")),
		Deadline: time.Now().Add(1500 * time.Millisecond), Done: func(r history.Receipt) { short <- r },
	})
	if r := wait(t, short); !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("without a replica: %+v, want an unknown outcome", r)
	}
	if _, err := s.Read(t.Context(), g, history.Start{After: at}); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("a read shows what no replica has: %v", err)
	}
	if n := len(l.events); n > 0 {
		t.Errorf("the bus has %d events that no replica has", n)
	}

	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a resend is acked", func() bool {
		r := submit(t, s, g, "b", dataPacket("b"))
		return r.Err == nil && r.Duplicate && r.Seq == 2
	})
	if b, err := s.Read(t.Context(), g, history.Start{After: at}); err != nil || b.Gap || len(b.Events) != 1 {
		t.Errorf("read %+v, %v", b, err)
	}
	must(t, s, g, "c")
	for want := uint64(2); want <= 3; want++ {
		if e := wait(t, l.events); e.Seq != want {
			t.Errorf("heard %+v, want message %d", e, want)
		}
	}
}

func TestAPublisherWithoutAReplicaIsNotKeptWaitingForMoreThanItsDeadline(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, g := open(t, Options{URL: server.URL(), Acks: oneReplica}, nil), room(t)
	r := submit(t, s, g, "a", dataPacket("a"))
	if !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("acked without any replica: %+v", r)
	}
	// What is only broadcast waits for nobody.
	answer := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: room(t), Kind: stream.Text, Payload: []byte("hi"), Deadline: time.Now().Add(time.Second),
		Done: func(r history.Receipt) { answer <- r },
	})
	if r := wait(t, answer); r.Err != nil {
		t.Errorf("a broadcast: %v", r.Err)
	}
}

func TestARecallIsConfirmedByAReplica(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	g := room(t)
	s, l := hears(t, Options{URL: master.URL(), Acks: oneReplica}, g)
	must(t, s, g, "a", "b")
	wait(t, l.events)
	wait(t, l.events)
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	// Found erased by the second one, and confirmed as little.
	for range 2 {
		if err := s.Recall(t.Context(), g, "a", history.Limit{}); !errors.Is(err, history.ErrUnknown) {
			t.Errorf("a recall that no replica has: %v", err)
		}
	}
	if n := len(l.events); n > 0 {
		t.Errorf("%d events tell of a recall that no replica has", n)
	}
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the recall is confirmed", func() bool { return s.Recall(t.Context(), g, "a", history.Limit{}) == nil })
	if err := s.Recall(t.Context(), g, "b", history.Limit{}); err != nil {
		t.Error(err)
	}
	for i, uuid := range []string{"a", "b"} {
		if e := wait(t, l.events); e.Kind != stream.Recall || e.UUID != uuid || e.Recalls != uint64(i+1) {
			t.Errorf("heard %+v, want the recall of %s", e, uuid)
		}
	}
}

// TestNoAckedMessageIsLostWithItsMaster kills a master whose replica has been
// hanging for a while, and promotes the replica.
func TestNoAckedMessageIsLostWithItsMaster(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	s, g := open(t, Options{URL: master.URL(), Acks: oneReplica, Cap: 1 << 20}, nil), room(t)
	load := startLoad(s, g)
	eventually(t, "appends succeed", func() bool { return load.count(g) > 50 })
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an outcome is unknown", func() bool { return load.refused(g) > 0 })
	master.Kill()
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
	load.end()
	promoted := redis.NewClient(&redis.Options{Addr: replica.Addr})
	defer promoted.Close()
	eventually(t, "the replica has read what was on its way", func() bool {
		info, err := promoted.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:down")
	})
	texts, err := promoted.LRange(t.Context(), string(g), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range load.acked[g] {
		if !slices.Contains(texts, dataPacket(u)) {
			t.Errorf("%s was acked and is lost", u)
		}
	}
}

// TestABroadcastComesOnceThoughItsMasterFails has a replica take over that has got
// a message, but not that it was announced, together with a broadcast.
func TestABroadcastComesOnceThoughItsMasterFails(t *testing.T) {
	t.Parallel()
	master, _ := replicated(t)
	g := room(t)
	s, l := hears(t, Options{URL: master.URL(), Acks: oneReplica}, g)
	var answers []<-chan history.Receipt
	for i := range 20 {
		u := fmt.Sprint(i)
		answers = append(answers, submitAsync(s, g, u, dataPacket(u)))
		answer := make(chan history.Receipt, 1)
		answers = append(answers, answer)
		s.Submit(&history.Publication{
			Group: g, Kind: stream.Text, Payload: []byte("low " + u), Deadline: time.Now().Add(5 * time.Second),
			Done: func(r history.Receipt) { answer <- r },
		})
		pending, err := s.client.LRange(t.Context(), keysOf(g).pending, 0, -1).Result()
		if err != nil || strings.Contains(strings.Join(pending, ""), "low ") {
			t.Fatalf("a broadcast waits in Redis, where it may come back: %q, %v", pending, err)
		}
	}
	for _, a := range answers {
		if r := wait(t, a); r.Err != nil {
			t.Error(r.Err)
		}
	}
	for i := range 40 { // in the order in which they were sent
		want := fmt.Sprint("low ", i/2)
		if i%2 == 0 {
			want = dataPacket(fmt.Sprint(i / 2))
		}
		if e := wait(t, l.events); string(e.Payload) != want {
			t.Fatalf("heard %q, want %q", e.Payload, want)
		}
	}
}

// TestOnePipelineWaitsOnce counts what the server has executed.
func TestOnePipelineWaitsOnce(t *testing.T) {
	t.Parallel()
	master, _ := replicated(t)
	s, g := open(t, Options{URL: master.URL(), Acks: oneReplica}, nil), room(t)
	var answers []<-chan history.Receipt
	const groups, each = 50, 20
	for i := range groups * each {
		u := fmt.Sprint(i)
		answers = append(answers, submitAsync(s, g+group.Name(fmt.Sprint("/", i%groups)), u, dataPacket(u)))
	}
	for _, a := range answers {
		if r := wait(t, a); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	stats, err := s.client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := func(command string) (n int) {
		_, _ = fmt.Sscanf(parseInfo(stats)["cmdstat_"+command], "calls=%d", &n)
		return n
	}
	// The test's own setup has waited, too.
	if waits, scripts := calls("wait"), calls("evalsha"); scripts < groups || waits > scripts/2 {
		t.Errorf("%d WAITs for %d script calls", waits, scripts)
	}
}

func TestAcksAfterFsyncNeedARedisThatCanWaitForIt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes")
	o := Options{URL: server.URL(), Acks: Acks{Fsync: true}}
	s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry())
	if err != nil {
		if !strings.Contains(err.Error(), "has no WAITAOF") {
			t.Error(err)
		}
		return
	}
	_ = s.Close() // a Redis from 7.2 on
	must(t, open(t, o, nil), room(t), "a", "b")
}

func TestAcksNeedAServerThatCanGiveThem(t *testing.T) {
	for _, tt := range []struct {
		acks         Acks
		info         map[string]string
		warning, err string
	}{
		{Acks{Fsync: true}, map[string]string{"redis_version": "7.0.15", "aof_enabled": "1"}, "", "has no WAITAOF"},
		{Acks{Fsync: true}, map[string]string{"redis_version": "6.2.1", "aof_enabled": "1"}, "", "has no WAITAOF"},
		{Acks{Fsync: true}, map[string]string{"redis_version": "7.2.4", "aof_enabled": "0"}, "", "no append-only file"},
		{Acks{Fsync: true}, map[string]string{"redis_version": "7.2.4", "aof_enabled": "1"}, "", ""},
		{Acks{Fsync: true}, map[string]string{"redis_version": "8.0.0", "aof_enabled": "1"}, "", ""},
		{Acks{Replicas: 2}, map[string]string{"redis_version": "7.0.15", "role": "master", "connected_slaves": "1"}, "1 replicas are connected", ""},
		{Acks{Replicas: 1}, map[string]string{"redis_version": "7.0.15", "role": "master", "connected_slaves": "1"}, "", ""},
		{Acks{Replicas: 1}, map[string]string{"redis_version": "7.0.15", "role": "slave", "connected_slaves": "0"}, "", ""},
	} {
		warning, err := tt.acks.check(tt.info)
		if !strings.HasPrefix(warning, tt.warning) || (warning == "") != (tt.warning == "") {
			t.Errorf("%+v on %v: warning %q, want %q", tt.acks, tt.info, warning, tt.warning)
		}
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v on %v: %v, want %q", tt.acks, tt.info, err, tt.err)
		}
	}
}

func TestWhatIsAskedOfRedisAndWhatItsAnswerMeans(t *testing.T) {
	wait := Acks{Replicas: 2, Timeout: 1500 * time.Millisecond}
	disk := Acks{Replicas: 1, Fsync: true, Timeout: time.Second}
	if got, want := wait.command(), []any{"wait", 2, int64(1500)}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := disk.command(), []any{"waitaof", 1, 1, int64(1000)}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, tt := range []struct {
		acks  Acks
		reply any
		err   error
		good  bool
	}{
		{wait, int64(2), nil, true},
		{wait, int64(3), nil, true},
		{wait, int64(1), nil, false},
		{wait, nil, errors.New("connection lost"), false},
		{disk, []any{int64(1), int64(1)}, nil, true},
		{disk, []any{int64(0), int64(1)}, nil, false},
		{disk, []any{int64(1), int64(0)}, nil, false},
		{disk, []any{}, nil, false},
	} {
		short := tt.acks.judge(tt.reply, tt.err)
		if (short == nil) != tt.good {
			t.Errorf("%+v: %v, %v is judged %v", tt.acks, tt.reply, tt.err, short)
		}
		if short != nil && fateOf(short) != unknown {
			t.Errorf("%v is taken for %v", short, fateOf(short))
		}
	}
}

func TestTheEmbeddedStoreHasNothingToWaitFor(t *testing.T) {
	o := Options{URL: imitation.url(t), Embedded: true, Acks: oneReplica}
	if s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry()); err == nil {
		_ = s.Close()
		t.Error("it is opened")
	}
}
