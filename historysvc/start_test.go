package historysvc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/health"
)

// lines hands on the messages of a log.
type lines chan string

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	l <- r.Message
	return nil
}

func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l lines) WithGroup(string) slog.Handler { return l }

// starting is a service that may have to wait for its Redis.
type starting struct {
	log    lines
	ready  chan net.Addr
	checks health.Checks
	stop   context.CancelFunc
	ended  chan error
}

func startWithout(t *testing.T, redis *redistest.Server, wait string) *starting {
	t.Helper()
	s := &starting{log: make(lines, 1000), ready: make(chan net.Addr, 1), ended: make(chan error, 1)}
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", redis.URL()+"/0", "-redis-wait", wait)
	cfg.OnReady = func(addr net.Addr) { s.ready <- addr }
	cfg.Ready = &s.checks
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	go func() {
		s.ended <- historysvc.Run(ctx, cfg, slog.New(s.log), prometheus.NewRegistry())
		close(s.ended)
	}()
	t.Cleanup(func() {
		stop()
		for range s.ended {
		}
	})
	return s
}

const waits = "waiting for redis"

func TestStartWaitsForRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1m")
	for line := range s.log {
		if line == waits {
			break
		}
	}
	if err := s.checks.Ready(t.Context()); err == nil {
		t.Error("it is ready without Redis")
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ready:
	case err := <-s.ended:
		t.Fatalf("with Redis: Run = %v", err)
	}
	if err := s.checks.Ready(t.Context()); err != nil {
		t.Errorf("with Redis: Ready = %v", err)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	for len(s.log) > 0 {
		if line := <-s.log; line == waits {
			t.Error("it says more than once that it waits")
		}
	}
}

func TestStartGivesUpWaitingForRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	for wait, want := range map[string]bool{"0s": false, "300ms": true} {
		s := startWithout(t, redis, wait)
		if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "redis cannot be reached") {
			t.Errorf("after %s: %v", wait, err)
		}
		waited := false
		for len(s.log) > 0 {
			waited = waited || <-s.log == waits
		}
		if waited != want {
			t.Errorf("with %s it waited: %v, want %v", wait, waited, want)
		}
	}
}

func TestStartThatWaitsForRedisCanBeStopped(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1h")
	for line := range s.log {
		if line == waits {
			break
		}
	}
	s.stop()
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "redis cannot be reached") {
		t.Errorf("Run = %v, want why it was still waiting", err)
	}
}
