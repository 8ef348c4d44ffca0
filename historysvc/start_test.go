package historysvc_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// starting is a service that may have to wait for its Redis.
type starting struct {
	log    telemetrytest.Log
	ready  chan net.Addr
	checks health.Checks
	stop   context.CancelFunc
	ended  chan error
}

func startWithout(t *testing.T, redis *redistest.Server, wait string) *starting {
	t.Helper()
	s := &starting{ready: make(chan net.Addr, 1), ended: make(chan error, 1)}
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", redis.URL()+"/0", "-redis-wait", wait)
	cfg.OnReady = func(addr net.Addr) { s.ready <- addr }
	cfg.Ready = &s.checks
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	go func() {
		s.ended <- historysvc.Run(ctx, cfg, slog.New(slog.NewTextHandler(&s.log, nil)), prometheus.NewRegistry())
		close(s.ended)
	}()
	t.Cleanup(func() {
		stop()
		for range s.ended {
		}
	})
	return s
}

// waits is how often it has said that it waits.
func (s *starting) waits() int { return strings.Count(s.log.String(), "waiting for redis") }

func TestStartWaitsForRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1m")
	eventually(t, func() bool { return s.waits() > 0 }, s.log.String)
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
	if n := s.waits(); n != 1 {
		t.Errorf("it says %d times that it waits, want once", n)
	}
}

func TestStartGivesUpWaitingForRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	for wait, most := range map[string]int{"0s": 0, "300ms": 1} {
		s := startWithout(t, redis, wait)
		if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "redis cannot be reached") {
			t.Errorf("after %s: %v", wait, err)
		}
		if n := s.waits(); n > most { // a slow machine takes 300 ms for the first try
			t.Errorf("with %s it says %d times that it waits, want %d at most", wait, n, most)
		}
	}
}

// Under fake time, which passes while all wait: this takes no minute.
func TestStartWaitsForRedisAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://127.0.0.1:1", "-redis-wait", "1m")
		began := time.Now()
		err := historysvc.Run(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if waited := time.Since(began); err == nil || waited < time.Minute {
			t.Errorf("after %v: Run = %v, want that it gives up after a minute", waited, err)
		}
	})
}

func TestStartThatWaitsForRedisCanBeStopped(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1h")
	eventually(t, func() bool { return s.waits() > 0 }, s.log.String)
	s.stop()
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "redis cannot be reached") {
		t.Errorf("Run = %v, want why it was still waiting", err)
	}
}
