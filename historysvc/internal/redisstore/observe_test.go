package redisstore

import (
	"strconv"
	"testing"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
)

func TestRoundTripsAreMeasuredByKind(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			for _, uuid := range []string{"a", "b", "c"} {
				must(t, s, g, uuid) // one after another: a pipeline each
			}
			// At least: the source of a script may have to be sent, and a list adopted.
			if n := metric(t, s, "gotapi_history_redis_seconds", "append"); n < 3 {
				t.Errorf("got %v pipelines, want at least 3", n)
			}
			if n := metric(t, s, "gotapi_history_append_pipeline_packets"); n < 3 {
				t.Errorf("got %v batches, want at least 3", n)
			}
			before := metric(t, s, "gotapi_history_redis_seconds", "script")
			if _, err := s.Read(t.Context(), g, history.Start{}); err != nil {
				t.Fatal(err)
			}
			if n := metric(t, s, "gotapi_history_redis_seconds", "script"); n <= before {
				t.Errorf("got %v scripts after a read, want more than %v", n, before)
			}
			before = metric(t, s, "gotapi_history_redis_seconds", "command")
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := metric(t, s, "gotapi_history_redis_seconds", "command"); n <= before {
				t.Errorf("got %v commands after a ping, want more than %v", n, before)
			}
		})
	}
}

func TestRoundTripsWithoutAnAnswerAreCounted(t *testing.T) {
	s, cancel, running := start(t, Options{Connection: Connection{URL: imitation.URL(t), Embedded: true}}, nil)
	cancel()
	running.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Fatal("a closed store answers")
	}
	if n := metric(t, s, "gotapi_history_redis_errors_total", "command", "other"); n != 1 {
		t.Errorf("got %v errors, want 1", n)
	}
}

// TestRefusalsOfRedisAreCountedByReason makes a real server refuse in each way.
func TestRefusalsOfRedisAreCountedByReason(t *testing.T) {
	t.Parallel()
	for reason, commands := range map[string][][]any{
		"oom":       {{"config", "set", "maxmemory", "1"}},
		"misconf":   {{"config", "set", "dir", "/proc"}, {"config", "set", "save", "1 1"}, {"set", "x", "y"}, {"bgsave"}},
		"noperm":    {{"acl", "setuser", "default", "-evalsha", "-eval"}},
		"wrongpass": {{"acl", "setuser", "default", "resetpass", ">new"}, {"client", "kill", "type", "normal"}},
		"noauth":    {{"config", "set", "requirepass", "new"}, {"client", "kill", "type", "normal"}},
	} {
		args := []string{"--enable-protected-configs", "yes"}
		if reason == "wrongpass" {
			args = append(args, "--requirepass", "old")
		}
		server := redistest.Start(t, args...)
		url := server.URL()
		if reason == "wrongpass" {
			url = "redis://:old@" + server.Addr
		}
		s, g := open(t, Options{Connection: Connection{URL: url}}, nil), room(t)
		must(t, s, g, "a")
		for _, command := range commands {
			_ = s.conn.Client().Do(t.Context(), command...).Err() // the last may kill its own connection
		}
		for n := 0; metric(t, s, "gotapi_history_redis_errors_total", reason) == 0; n++ {
			if n == 1000 {
				t.Fatalf("%s is not counted", reason)
			}
			_ = submit(t, s, g, strconv.Itoa(n), dataPacket(strconv.Itoa(n)))
		}
	}
}
