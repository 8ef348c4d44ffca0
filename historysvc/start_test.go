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

// waits is how often a service has said that it waits.
func waits(log *telemetrytest.Log) int { return strings.Count(log.String(), "waiting for redis") }

func TestStartWaitsForRedis(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1m")
	eventually(t, func() bool { return waits(&s.log) > 0 }, s.log.String)
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
	if n := waits(&s.log); n != 1 {
		t.Errorf("it says %d times that it waits, want once", n)
	}
}

// Under fake time, which passes while all wait: this takes no minute.
func TestStartGivesUpWaitingForRedisWhenItIsTold(t *testing.T) {
	for wait, want := range map[time.Duration]int{0: 0, time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			var log telemetrytest.Log
			cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://127.0.0.1:1", "-redis-wait", wait.String())
			began := time.Now()
			err := historysvc.Run(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
			if err == nil || !strings.Contains(err.Error(), "redis cannot be reached") {
				t.Errorf("after %s: Run = %v", wait, err)
			}
			if waited := time.Since(began); waited < wait {
				t.Errorf("it waits %v, want %v", waited, wait)
			}
			if n := waits(&log); n != want {
				t.Errorf("with %s it says %d times that it waits, want %d", wait, n, want)
			}
		})
	}
}

func TestStartThatWaitsForRedisCanBeStopped(t *testing.T) {
	redis := redistest.Start(t)
	redis.Kill()
	s := startWithout(t, redis, "1h")
	eventually(t, func() bool { return waits(&s.log) > 0 }, s.log.String)
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("Run = %v, want no error: it had to stop", err)
	}
	if log := s.log.String(); !strings.Contains(log, "redis cannot be reached") {
		t.Errorf("the log does not say what it was waiting for:\n%s", log)
	}
}
