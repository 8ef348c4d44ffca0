package redisstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestURLsNameEveryKindOfServer(t *testing.T) {
	for url, want := range map[string]struct {
		cluster bool
		addrs   []string
	}{
		"redis://localhost":                                      {false, []string{"localhost:6379"}},
		"redis://u:p@h:1/3":                                      {false, []string{"h:1"}},
		"rediss://h:1/3?skip_verify=true":                        {false, []string{"h:1"}},
		"unix:///tmp/s?db=2":                                     {false, []string{"/tmp/s"}},
		"redis+cluster://a:1,b:2,c:3":                            {true, []string{"a:1", "b:2", "c:3"}},
		"rediss+cluster://u:p@a:1,b:2/0":                         {true, []string{"a:1", "b:2"}},
		"redis://a:1,b:2?cluster=true":                           {true, []string{"a:1", "b:2"}},
		"redis://[::1]:7,[::2]:8?cluster=true":                   {true, []string{"[::1]:7", "[::2]:8"}},
		"redis+sentinel://a:1,b:2/1?master_name=m&password=x":    {false, nil},
		"rediss+sentinel://a:1?master_name=m":                    {false, nil},
		"redis://u:p@a:1,b:2?master_name=m&dial_timeout=3s&db=2": {false, nil},
	} {
		client, cluster, err := dial(url, &Login{}, callTimeout)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		defer client.Close()
		var addrs []string
		switch c := client.(type) {
		case *redis.Client:
			if want.addrs != nil {
				addrs = []string{c.Options().Addr}
			}
			if c.Options().MaxRetries != 0 || !c.Options().ContextTimeoutEnabled {
				t.Errorf("%s: the driver would retry by itself, or ignore contexts", url)
			}
		case *redis.ClusterClient:
			addrs = c.Options().Addrs
		}
		if cluster != want.cluster || !cmp.Equal(want.addrs, addrs) {
			t.Errorf("%s: cluster %v, %q", url, cluster, addrs)
		}
	}
}

func TestABadURLIsRefusedWithoutShowingItsPassword(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://u:hunter2@h", "redis://u:hunter2@h:port", "redis://:hunter2@h/db/x", "redis://:hunter2@h/x",
		"redis://:hunter2@h?unknown=1", "redis+sentinel://:hunter2@h", "redis+ring://:hunter2@h", "redis+cluster://:hunter2@h/1",
		"redis+cluster://:hunter2@h,x", "redis://:hunter2@h\x7f", "redis+cluster://:hunter2@h?read_only=true",
		"redis+sentinel://:hunter2@h?master_name=m&replica_only=true", "redis://:hun%zzter2@h", "redis://:hunter2@h?db=%zz",
	} {
		client, _, err := dial(url, &Login{}, callTimeout)
		if err == nil {
			client.Close()
			t.Errorf("%q is taken", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	server, err := realServer()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := clusterServer()
	if err != nil {
		t.Fatal(err)
	}
	locked := redistest.Start(t, "--requirepass", "hunter2")
	for url, want := range map[string]string{
		"redis://127.0.0.1:1":                        "cannot be reached",
		"redis+cluster://127.0.0.1:1":                "cannot be reached",
		"redis://" + cluster.Nodes[0].Addr:           "is in cluster mode",
		"redis+cluster://" + server.Addr:             "is not in cluster mode",
		"redis://:wrong@" + locked.Addr:              "refuses us",
		locked.URL():                                 "refuses us",
		"redis+sentinel://127.0.0.1:1?master_name=m": "cannot be reached",
	} {
		s, err := Open(t.Context(), Options{URL: url}, quiet(t), prometheus.NewRegistry())
		if err == nil {
			_ = s.Close()
			t.Errorf("%s is opened", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", url, err)
		}
	}
	s, err := Open(t.Context(), Options{URL: "redis://:hunter2@" + locked.Addr}, quiet(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, o := range []Options{{Cap: -1}, {Retention: -1}, {Cap: 10, DedupeLimit: 5}} {
		o.URL = server.URL()
		if s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry()); err == nil {
			_ = s.Close()
			t.Errorf("%+v are taken", o)
		}
	}
}

func TestOpenWaitsForAServerThatLoadsItsData(t *testing.T) {
	// A key takes 0.1 s; between two, the server answers.
	server := redistest.Start(t, "--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no")
	for _, command := range []string{`EVAL "for i = 1, 200 do redis.call('SET', i, string.rep('x', 2000)) end" 0`, "SAVE"} {
		if answer, err := server.Do(command); err != nil || strings.HasPrefix(answer, "-") {
			t.Fatalf("%s: %q, %v", command, answer, err)
		}
	}
	server.Kill()
	restarted := make(chan error, 1)
	go func() {
		defer close(restarted)
		restarted <- server.Restart() // ends when it is loaded
	}()
	t.Cleanup(func() {
		for range restarted {
		}
	})
	eventually(t, "the server loads its data", func() bool {
		answer, _ := server.Do("PING")
		if answer == "+PONG" {
			t.Fatal("it has loaded its data at once")
		}
		return strings.HasPrefix(answer, "-LOADING")
	})
	var log telemetrytest.Log
	opened := make(chan error, 1)
	go func() {
		s, err := Open(t.Context(), Options{URL: server.URL(), Wait: time.Minute}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	eventually(t, "Open waits", func() bool {
		select {
		case err := <-opened:
			t.Fatalf("Open = %v while the server loads, want that it waits", err)
		default:
		}
		return strings.Contains(log.String(), "waiting for redis")
	})
	if answer, err := server.Do("CONFIG SET key-load-delay 0"); answer != "+OK" {
		t.Fatalf("CONFIG: %q, %v", answer, err)
	}
	for _, done := range []chan error{restarted, opened} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestOpenWarnsOfEviction(t *testing.T) {
	for policy, want := range map[string]bool{"allkeys-lru": true, "noeviction": false} {
		server := redistest.Start(t, "--maxmemory-policy", policy)
		var log bytes.Buffer
		s, err := Open(t.Context(), Options{URL: server.URL()}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), policy); got != want {
			t.Errorf("%s: log %q", policy, log.String())
		}
	}
}

func TestFates(t *testing.T) {
	server, err := realServer()
	if err != nil {
		t.Fatal(err)
	}
	dialError := func() error {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
		defer c.Close()
		return c.Ping(t.Context()).Err()
	}()
	c := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer c.Close()
	answer := func(text string) error {
		return c.Eval(t.Context(), "return redis.error_reply(ARGV[1])", nil, text).Err()
	}
	for _, test := range []struct {
		err  error
		want fate
	}{
		{nil, done},
		{redis.Nil, done},
		{dialError, notDone},
		{redis.ErrClosed, notDone},
		{redis.ErrPoolTimeout, notDone},
		{answer("LOADING x"), notDone},
		{answer("READONLY x"), notDone},
		{answer("CLUSTERDOWN x"), notDone},
		{answer("TRYAGAIN x"), notDone},
		{answer("MASTERDOWN x"), notDone},
		{answer("NOREPLICAS x"), notDone},
		{answer("OOM x"), refused},
		{answer("MISCONF x"), refused},
		{answer("NOPERM x"), refused},
		{answer("NOAUTH x"), refused},
		{answer("ERR Error running script (call to f_1): @user_script:1: WRONGTYPE x"), wrongType},
		{answer("ADOPT x"), mustAdopt},
		{answer("EPOCH x"), epochChanged},
		{redis.ErrNoScript, noScript},
		{answer("ERR something else"), broken},
		{io.EOF, unknown},
		{context.DeadlineExceeded, unknown},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, unknown},
	} {
		if got := fateOf(test.err); got != test.want {
			t.Errorf("%v: fate %d, want %d", test.err, got, test.want)
		}
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	for n := 1; n < 100; n++ {
		limit := min(minBackoff<<min(n-1, 10), maxBackoff)
		if d := backoff(n); d < limit/2 || d > limit {
			t.Errorf("try %d: %v", n, d)
		}
	}
}

func TestSlotsAreThoseOfRedis(t *testing.T) {
	c, err := clusterServer()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{URL: c.URL()}, nil)
	if n := slot("123456789"); n != 12739 { // the check value of the specification
		t.Errorf("slot %d", n)
	}
	for _, g := range []group.Name{"/", "/room/1", "/room/1/", "/комната", "/" + group.Name(strings.Repeat("x", 511))} {
		want, err := s.client.ClusterKeySlot(t.Context(), keysOf(g).channel).Result()
		if err != nil || int64(slot(g)) != want {
			t.Errorf("%s: slot %d, want %d, %v", g, slot(g), want, err)
		}
	}
}

func TestAnEdgeThatFallsSilentIsForgotten(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			edge := uint64(time.Now().UnixNano())
			if err := s.Report(t.Context(), edge, true, map[group.Name]uint32{g: 3}); err != nil {
				t.Fatal(err)
			}
			ttl, err := s.client.PTTL(t.Context(), edgeKey(edgeName(edge))).Result()
			if err != nil || ttl <= 0 || ttl > presenceTTL {
				t.Errorf("kept for %v, %v", ttl, err)
			}
			if err := s.client.Del(t.Context(), edgeKey(edgeName(edge))).Err(); err != nil { // as Redis would
				t.Fatal(err)
			}
			if all, err := s.Members(t.Context()); err != nil || all[g] != 0 {
				t.Errorf("%v, %v", all, err)
			}
			if err := s.Leave(t.Context(), edge); err != nil {
				t.Error(err)
			}
		})
	}
}
