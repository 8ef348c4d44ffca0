package redisstore

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	server, cluster := redistest.Shared(t), redistest.SharedCluster(t)
	locked := redistest.Start(t, "--requirepass", "hunter2")
	for url, want := range map[string]string{
		"redis://127.0.0.1:1":                        "cannot be reached",
		"redis+cluster://127.0.0.1:1":                "cannot be reached",
		"redis://" + cluster.Nodes[0].Addr:           "is in cluster mode",
		"redis+cluster://" + server.Addr:             "is not in cluster mode",
		"redis://:wrong@" + locked.Addr:              "refused access",
		locked.URL():                                 "refused access",
		"redis+sentinel://127.0.0.1:1?master_name=m": "cannot be reached",
	} {
		s, err := Open(t.Context(), Options{Connection: Connection{URL: url}}, quiet(t), prometheus.NewRegistry())
		if err == nil {
			_ = s.Close()
			t.Errorf("%s is opened", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", url, err)
		}
	}
	s, err := Open(t.Context(), Options{Connection: Connection{URL: "redis://:hunter2@" + locked.Addr}}, quiet(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, h := range []History{{Cap: -1}, {Retention: -1}, {Cap: 10, DedupeLimit: 5}} {
		o := Options{Connection: Connection{URL: server.URL()}, History: h}
		if s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry()); err == nil {
			_ = s.Close()
			t.Errorf("%+v are taken", h)
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
		s, err := Open(t.Context(), Options{Connection: Connection{URL: server.URL(), Wait: time.Minute}}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
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
		s, err := Open(t.Context(), Options{Connection: Connection{URL: server.URL()}}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
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
