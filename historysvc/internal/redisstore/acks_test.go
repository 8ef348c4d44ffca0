package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
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
					return open(t, Options{Connection: Connection{URL: url, Acks: Acks{Replicas: 1}}, History: historyOf(o)}, l)
				}
			})
		})
	}
}

func TestAMessageIsAckedAndPassedOnOnlyWhenAReplicaHasIt(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	g := room(t)
	s, l := hears(t, Options{Connection: Connection{URL: master.URL(), Acks: oneReplica}}, g)
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
		Deadline: time.Now().Add(1500 * time.Millisecond), From: historytest.Receipts(short),
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
	s, g := open(t, Options{Connection: Connection{URL: server.URL(), Acks: oneReplica}}, nil), room(t)
	r := submit(t, s, g, "a", dataPacket("a"))
	if !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("acked without any replica: %+v", r)
	}
	// What is only broadcast waits for nobody.
	answer := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: room(t), Kind: stream.Text, Payload: []byte("hi"), Deadline: time.Now().Add(time.Second),
		From: historytest.Receipts(answer),
	})
	if r := wait(t, answer); r.Err != nil {
		t.Errorf("a broadcast: %v", r.Err)
	}
}

func TestARecallIsConfirmedByAReplica(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	g := room(t)
	s, l := hears(t, Options{Connection: Connection{URL: master.URL(), Acks: oneReplica}}, g)
	must(t, s, g, "a", "b")
	wait(t, l.events)
	wait(t, l.events)
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	// Found erased by the second one, and confirmed as little.
	for range 2 {
		if err := s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrUnknown) {
			t.Errorf("a recall that no replica has: %v", err)
		}
	}
	if n := len(l.events); n > 0 {
		t.Errorf("%d events tell of a recall that no replica has", n)
	}
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the recall is confirmed", func() bool { return s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}) == nil })
	if err := s.Recall(t.Context(), g, "b", history.Limit{}, stream.Author{}); err != nil {
		t.Error(err)
	}
	for i, uuid := range []string{"a", "b"} {
		if e := wait(t, l.events); e.Kind != stream.Recall || e.UUID != uuid || e.Changes != uint64(i+1) {
			t.Errorf("heard %+v, want the recall of %s", e, uuid)
		}
	}
}

// TestNoAckedMessageIsLostWithItsMaster kills a master whose replica has been
// hanging for a while, and promotes the replica.
func TestNoAckedMessageIsLostWithItsMaster(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	s, g := open(t, Options{Connection: Connection{URL: master.URL(), Acks: oneReplica}, History: History{Cap: 1 << 20}}, nil), room(t)
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
	s, l := hears(t, Options{Connection: Connection{URL: master.URL(), Acks: oneReplica}}, g)
	var answers []<-chan history.Receipt
	for i := range 20 {
		u := fmt.Sprint(i)
		answers = append(answers, submitAsync(s, g, u, dataPacket(u)))
		answer := make(chan history.Receipt, 1)
		answers = append(answers, answer)
		s.Submit(&history.Publication{
			Group: g, Kind: stream.Text, Payload: []byte("low " + u), Deadline: time.Now().Add(5 * time.Second),
			From: historytest.Receipts(answer),
		})
		pending, err := s.conn.Client().LRange(t.Context(), layout.KeysOf(g).Pending, 0, -1).Result()
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
	s, g := open(t, Options{Connection: Connection{URL: master.URL(), Acks: oneReplica}}, nil), room(t)
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
	stats, err := s.conn.Client().Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := func(command string) (n int) {
		_, _ = fmt.Sscanf(redisconn.ParseInfo(stats)["cmdstat_"+command], "calls=%d", &n)
		return n
	}
	// The test's own setup has waited, too.
	if waits, scripts := calls("wait"), calls("evalsha"); scripts < groups || waits > scripts/2 {
		t.Errorf("%d WAITs for %d script calls", waits, scripts)
	}
}

// TestAcksAfterFsyncNeedARedisThatCanGiveThem in time, with the timeout that fits it.
func TestAcksAfterFsyncNeedARedisThatCanGiveThem(t *testing.T) {
	t.Parallel()
	can := true
	if answer, err := redistest.Shared(t).Do("WAITAOF 0 0 0"); err != nil {
		t.Fatal(err)
	} else if strings.HasPrefix(answer, "-") { // Redis 7.0
		can = false
	}
	for settings, want := range map[string]string{
		"--appendonly no":                               "no append-only file",
		"--appendonly yes --appendfsync no":             "requires appendfsync always",
		"--appendonly yes --appendfsync everysec":       "requires appendfsync always",
		"--appendonly yes --rename-command CONFIG NONE": "+config|get",
	} {
		if !can && want != "no append-only file" {
			want = "has no WAITAOF"
		}
		o := Options{Connection: Connection{URL: redistest.Start(t, strings.Fields(settings)...).URL(), Acks: Acks{Fsync: true}}}
		if got := refusal(t, o); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", settings, got, want)
		}
	}
	if !can {
		return
	}
	always := []string{"--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"}
	server := redistest.Start(t, always...)
	s, log := logged(t, Connection{URL: server.URL(), Acks: Acks{Fsync: true}})
	must(t, s, room(t), "a", "b") // no duplicate, so no wait was in vain
	if strings.Contains(log.String(), "redis is misconfigured") {
		t.Errorf("operators are warned of nothing:\n%s", log)
	}
	if answer, err := server.Do("CONFIG SET appendfsync everysec"); err != nil || answer != "+OK" {
		t.Fatalf("%q, %v", answer, err)
	}
	eventually(t, "operators learn of a change", func() bool { return strings.Contains(log.String(), "redis has appendfsync everysec") })

	master := redistest.Start(t, always...)
	redistest.StartReplica(t, master, always...)
	s, _ = logged(t, Connection{URL: master.URL(), Acks: Acks{Fsync: true, Replicas: 1}})
	must(t, s, room(t), "a", "b") // replicas report their disks once in a second
}

// TestAcksOfFewerReplicasThanThereAreAreWarnedOf, and AllReplicas are counted by
// Sentinels and Clusters, also when one is down.
func TestAcksOfFewerReplicasThanThereAreAreWarnedOf(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	redistest.StartReplica(t, master)
	sentinel := redistest.StartSentinel(t, "mymaster", master)
	watched := "redis+sentinel://" + sentinel.Addr + "/0?master_name=mymaster"
	eventually(t, "the Sentinel knows the replicas", func() bool {
		client := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
		defer func() { _ = client.Close() }()
		replicas, err := client.Replicas(t.Context(), "mymaster").Result()
		return err == nil && len(replicas) == 2
	})
	nodes := redistest.StartReplicatedCluster(t)
	for _, tt := range []struct {
		url             string
		replicas        Replicas
		awaited, exists float64
	}{
		{master.URL(), 1, 1, 2},
		{master.URL(), 2, 2, 2},
		{watched, 1, 1, 2},
		{watched, AllReplicas, 2, 2},
		{nodes.URL(), 1, 1, 1},
		{nodes.URL(), AllReplicas, 1, 1},
	} {
		s, log := logged(t, Connection{URL: tt.url, Acks: Acks{Replicas: tt.replicas, Timeout: time.Second}})
		if got := strings.Contains(log.String(), "acked messages are lost"); got != (tt.awaited < tt.exists) {
			t.Errorf("%s, %d replicas: warned %v:\n%s", tt.url, tt.replicas, got, log)
		}
		if a, e := metric(t, s, "gotapi_history_ack_replicas"), metric(t, s, "gotapi_history_redis_replicas"); a != tt.awaited || e != tt.exists {
			t.Errorf("%s, %d replicas: acks wait for %v of %v, want %v of %v", tt.url, tt.replicas, a, e, tt.awaited, tt.exists)
		}
		must(t, s, room(t), "a")
	}
	if got := refusal(t, Options{Connection: Connection{URL: master.URL(), Acks: Acks{Replicas: AllReplicas}}}); !strings.Contains(got, "requires Sentinel or Cluster") {
		t.Errorf("all replicas of a single server: %q", got)
	}

	replica.Kill()
	s, log := logged(t, Connection{URL: watched, Acks: Acks{Replicas: AllReplicas, Timeout: time.Second / 10}})
	g := room(t)
	short := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: g, Kind: stream.Message, UUID: "b", Payload: []byte(dataPacket("b")),
		Deadline: time.Now().Add(time.Second), From: historytest.Receipts(short),
	})
	if r := wait(t, short); !errors.Is(r.Err, history.ErrUnknown) {
		t.Errorf("one of two replicas is down: %+v, want an unknown outcome", r)
	}
	eventually(t, "operators learn why", func() bool { return strings.Contains(log.String(), "1 replicas are connected and acks wait for 2") })
}

func TestTheEmbeddedStoreHasNothingToWaitFor(t *testing.T) {
	o := Options{Connection: Connection{URL: imitation.URL(t), Embedded: true, Acks: oneReplica}}
	if s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry()); err == nil {
		_ = s.Close()
		t.Error("it is opened")
	}
}
