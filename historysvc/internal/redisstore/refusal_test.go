package redisstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// TestARefusalIsAnOutageAndNotAnEmptyAnswer: Redis accepts connections and answers,
// but refuses what is asked.
func TestARefusalIsAnOutageAndNotAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(t *testing.T, g group.Name) *Store{
		"password of one server": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t, "--requirepass", "old")
			s := opened(t, g, Options{Connection: Connection{URL: "redis://:old@" + server.Addr}})
			changePassword(t, s)
			return s
		},
		"password, with acks of replicas": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t)
			redistest.StartReplica(t, server)
			if answer, err := server.Do("CONFIG SET requirepass old"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			s := opened(t, g, Options{Connection: Connection{URL: "redis://:old@" + server.Addr, Acks: Acks{Replicas: 1}}})
			changePassword(t, s)
			return s
		},
		"password of a master with Sentinel": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t, "--requirepass", "old")
			sentinel := redistest.StartSentinel(t, "main", server, "sentinel auth-pass main old", "sentinel down-after-milliseconds main 60000")
			s := opened(t, g, Options{Connection: Connection{URL: "redis+sentinel://" + sentinel.Addr + "?master_name=main&password=old"}})
			changePassword(t, s)
			return s
		},
		"password of a cluster": func(t *testing.T, g group.Name) *Store {
			c := redistest.StartCluster(t)
			for _, n := range c.Nodes {
				if answer, err := n.Do("CONFIG SET requirepass old"); err != nil || answer != "+OK" {
					t.Fatal(answer, err)
				}
			}
			s := opened(t, g, Options{Connection: Connection{URL: strings.Replace(c.URL(), "://", "://:old@", 1)}})
			changePassword(t, s)
			return s
		},
		"database": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t, "--appendonly", "yes")
			s := opened(t, g, Options{Connection: Connection{URL: server.URL() + "/7"}})
			if err := server.RestartWith("--databases", "2", "--appendonly", "no"); err != nil {
				t.Fatal(err)
			}
			return s
		},
		"rights of the user": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t)
			if answer, err := server.Do("ACL SETUSER app on >pw ~* &* +@all"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			s := opened(t, g, Options{Connection: Connection{URL: "redis://app:pw@" + server.Addr}})
			if answer, err := server.Do("ACL SETUSER app -@all"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			return s
		},
		"rights on keys": func(t *testing.T, g group.Name) *Store {
			server := redistest.Start(t)
			if answer, err := server.Do("ACL SETUSER app on >pw ~* &* +@all"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			s := opened(t, g, Options{Connection: Connection{URL: "redis://app:pw@" + server.Addr}})
			if answer, err := server.Do("ACL SETUSER app resetkeys resetchannels"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := room(t)
			s := refuse(t, g)
			checkRefused(t, s, g)
			if metric(t, s, "gotapi_history_redis_errors_total") == 0 {
				t.Error("no refusal is counted")
			}
		})
	}
}

// opened opens a store and stores the message a.
func opened(t *testing.T, g group.Name, o Options) *Store {
	t.Helper()
	s := open(t, o, nil)
	must(t, s, g, "a")
	return s
}

// changePassword changes the password of every server, and ends all connections.
func changePassword(t *testing.T, s *Store) {
	t.Helper()
	change := func(ctx context.Context, node *redis.Client) error {
		if err := node.ConfigSet(ctx, "requirepass", "new").Err(); err != nil {
			return err
		}
		_ = node.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "no").Err() // no answer comes
		return nil
	}
	var err error
	switch client := s.conn.Client().(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(t.Context(), change)
	case *redis.Client:
		err = change(t.Context(), client)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkRefused checks that every call says that Redis cannot be used.
func checkRefused(t *testing.T, s *Store, g group.Name) {
	t.Helper()
	for _, q := range []history.Query{
		{Size: 5}, {Size: 5, Versioned: true}, {Size: 5, Versioned: true, Known: "x"}, {Size: 1000}, {Before: "a", Size: 5}, {After: "a", Size: 5},
	} {
		if page, err := s.Page(t.Context(), g, q); !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("page %+v: %+v, %v", q, page, err)
		}
	}
	low := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{Group: g, Kind: stream.Text, Payload: []byte("low"), From: senderFunc(func(r history.Receipt) { low <- r })})
	_, readErr := s.Read(t.Context(), g, history.Start{AfterUUID: "a"})
	_, membersErr := s.Members(t.Context())
	for what, err := range map[string]error{
		"head":      s.Heads(t.Context(), []group.Name{g})[0].Err,
		"append":    submit(t, s, g, "b", dataPacket("b")).Err,
		"broadcast": wait(t, low).Err,
		"read":      readErr,
		"recall":    s.Recall(t.Context(), g, "a", history.Limit{}, stream.Author{}),
		"ttl":       s.SetTTL(t.Context(), g, time.Hour),
		"members":   membersErr,
		"report":    s.Report(t.Context(), 1, true, map[group.Name]uint32{g: 1}),
		"ping":      s.Ping(t.Context()),
	} {
		if !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestReadsAndSubscriptionsGoOnWhileRedisRefusesWrites: it refuses PING, too.
func TestReadsAndSubscriptionsGoOnWhileRedisRefusesWrites(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--save", "3600 1", "--dbfilename", "taken")
	l := &hearing{subscribed: make(chan group.Name, 10), events: make(chan stream.Event, 10)}
	s, g := open(t, Options{Connection: Connection{URL: server.URL()}}, l), room(t)
	s.Subscribe(g)
	wait(t, l.subscribed)
	must(t, s, g, "a")
	wait(t, l.events)
	client := s.conn.Client()
	dir := client.ConfigGet(t.Context(), "dir").Val()["dir"]
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil { // so that saving fails
		t.Fatal(err)
	}
	info := func(section, line string) bool {
		text, err := client.Info(t.Context(), section).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(text, line)
	}
	if err := client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "saving fails", func() bool { return info("persistence", "rdb_last_bgsave_status:err") })
	if r := submit(t, s, g, "b", dataPacket("b")); !errors.Is(r.Err, history.ErrUnavailable) {
		t.Errorf("append: %+v", r)
	}
	refused := func(n string) func() bool {
		return func() bool { return info("errorstats", "errorstat_MISCONF:count="+n) }
	}
	eventually(t, "pings of the subscription are refused", refused("6"))
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if got := texts(t, s, g, history.Query{Size: 5}); len(got) != 1 {
		t.Errorf("history: %q", got)
	}
	if n := metric(t, s, "gotapi_history_bus_reconnects_total"); n != 0 {
		t.Errorf("the subscription was given up %v times", n)
	}
	if err := client.ConfigSet(t.Context(), "stop-writes-on-bgsave-error", "no").Err(); err != nil {
		t.Fatal(err)
	}
	must(t, s, g, "b")
	if e := wait(t, l.events); e.Seq != 2 {
		t.Errorf("heard %+v", e)
	}
}

// TestConnectionsThatRedisDoesNotTakeAreCountedAndLogged: what goes over open ones goes on,
// and all does again once Redis takes more.
func TestConnectionsThatRedisDoesNotTakeAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, log := logged(t, Connection{URL: server.URL()})
	g := room(t)
	must(t, s, g, "a")
	other := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 1, MaxRetries: -1})
	defer other.Close()
	admin := func(command ...any) {
		t.Helper()
		if err := other.Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	admin("config", "set", "maxclients", 1) // fewer than there are
	must(t, s, g, "b")
	admin("client", "kill", "type", "normal", "skipme", "yes")
	refused := func() float64 { return metric(t, s, "gotapi_history_redis_errors_total", "max_clients") }
	eventually(t, "connections are refused", func() bool {
		_, err := s.Page(t.Context(), g, history.Query{Size: 5})
		if err != nil && !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("page: %v", err)
		}
		return refused() >= 10
	})
	if r := submit(t, s, g, "c", dataPacket("c")); !errors.Is(r.Err, history.ErrUnavailable) {
		t.Errorf("append: %+v", r)
	}
	const line = "redis call failed"
	if n := strings.Count(log.String(), line); n == 0 || float64(n) > refused()/2 || !strings.Contains(log.String(), "max number of clients") {
		t.Errorf("%v refusals, and %d lines in the log, want few:\n%s", refused(), n, log)
	}
	condition, err := s.Condition(t.Context())
	if !errors.Is(err, history.ErrUnavailable) || !slices.ContainsFunc(condition.Alarms, func(a history.Alarm) bool { return strings.Contains(a.Text, "raise maxclients") }) {
		t.Errorf("condition: %+v, %v, want an alarm that says what to do", condition, err)
	}
	admin("config", "set", "maxclients", 1000)
	eventually(t, "the store works again", func() bool { return submit(t, s, g, "d", dataPacket("d")).Err == nil })
	if got := texts(t, s, g, history.Query{Size: 5}); len(got) != 3 {
		t.Errorf("history: %q, want 3 messages", got)
	}
}

// TestAllConnectionsFollowTheAddress: it leads to another server, and connections to
// the one before stay open.
func TestAllConnectionsFollowTheAddress(t *testing.T) {
	t.Parallel()
	for name, demote := range map[string]bool{"the old master goes on": false, "the old master becomes a replica": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := redistest.Start(t)
			after := redistest.StartReplica(t, before)
			address := redistest.StartCutter(t, before)
			l := &hearing{subscribed: make(chan group.Name, 10), events: make(chan stream.Event, 1000)}
			s, g := open(t, Options{Connection: Connection{URL: "redis://" + address.Addr()}}, l), room(t)
			s.Subscribe(g)
			wait(t, l.subscribed)
			for i := range 200 {
				submitAsync(s, g, string(rune('a'+i)), dataPacket(string(rune('a'+i))))
			}
			eventually(t, "messages are stored", func() bool { return len(texts(t, s, g, history.Query{Size: 1000})) == 200 })
			if answer, err := before.Do("WAIT 1 1000"); err != nil || answer != ":1" {
				t.Fatal(answer, err)
			}
			address.Move(after)
			if answer, err := after.Do("REPLICAOF NO ONE"); err != nil || answer != "+OK" {
				t.Fatal(answer, err)
			}
			if demote {
				if answer, err := before.Do("REPLICAOF " + strings.Replace(after.Addr, ":", " ", 1)); err != nil || answer != "+OK" {
					t.Fatal(answer, err)
				}
			}
			if got := texts(t, s, g, history.Query{Size: 1000}); len(got) != 200 {
				t.Errorf("a page has %d messages, want 200", len(got))
			}
			wait(t, l.subscribed) // again, at the new server
			direct := open(t, Options{Connection: Connection{URL: after.URL()}}, nil)
			must(t, direct, g, "there")
			for e := wait(t, l.events); !strings.Contains(string(e.Payload), "there"); {
				e = wait(t, l.events)
			}
			must(t, s, g, "here")
			if got := texts(t, direct, g, history.Query{Size: 1}); len(got) != 1 || got[0] != dataPacket("here") {
				t.Errorf("the newest message at the new server is %q", got)
			}
			if n := metric(t, s, "gotapi_history_redis_server_changes_total"); n < 1 {
				t.Errorf("%v changes of the server are counted", n)
			}
		})
	}
}

func TestAReplicaWithoutItsMasterIsNotRead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, g := open(t, Options{Connection: Connection{URL: server.URL()}}, nil), room(t)
	must(t, s, g, "a")
	if answer, err := server.Do("REPLICAOF 127.0.0.1 1"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	eventually(t, "reads are refused", func() bool {
		_, err := s.Page(t.Context(), g, history.Query{Size: 5})
		return errors.Is(err, history.ErrUnavailable)
	})
	if err := s.Ping(t.Context()); redisconn.OutcomeOf(err) != redisconn.NotDone {
		t.Errorf("ping: %v", err)
	}
	if answer, err := server.Do("REPLICAOF NO ONE"); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	eventually(t, "reads succeed again", func() bool {
		_, err := s.Page(t.Context(), g, history.Query{Size: 5})
		return err == nil
	})
	must(t, s, g, "b")
}

// TestNewConnectionsUseTheNewPassword: of Redis, and of the Sentinels.
func TestNewConnectionsUseTheNewPassword(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "old")
	sentinel := redistest.StartSentinel(t, "main", server, "requirepass old", "sentinel auth-pass main old", "sentinel down-after-milliseconds main 60000")
	for name, url := range map[string]string{
		"one server": server.URL(),
		"sentinel":   "redis+sentinel://" + sentinel.Addr + "?master_name=main",
	} {
		var password atomic.Pointer[string]
		old, changed := "old", "new"
		password.Store(&old)
		now := func() string { return *password.Load() }
		s, g := open(t, Options{Connection: Connection{URL: url, Login: Login{Password: now, SentinelPassword: now}}}, nil), room(t)
		must(t, s, g+"/"+group.Name(name), "a")
		changePassword(t, s)
		if name == "sentinel" {
			admin := redis.NewClient(&redis.Options{Addr: sentinel.Addr, Password: "old"})
			defer admin.Close()
			for _, command := range [][]any{{"acl", "setuser", "default", "resetpass", ">new"}, {"client", "kill", "type", "normal"}} {
				if err := admin.Do(t.Context(), command...).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		eventually(t, "the old password is refused", func() bool { return s.Ping(t.Context()) != nil })
		password.Store(&changed)
		eventually(t, "the new password is used", func() bool { return s.Ping(t.Context()) == nil })
		must(t, s, g+"/"+group.Name(name), "b")
		if err := s.conn.Client().ConfigSet(t.Context(), "requirepass", "old").Err(); err != nil {
			t.Fatal(err)
		}
	}
}
