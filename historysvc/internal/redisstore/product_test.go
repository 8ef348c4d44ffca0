package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// logged opens a store whose log is returned, and closes it with the test.
func logged(t *testing.T, c Connection) (*Store, *telemetrytest.Log) {
	t.Helper()
	log, reg := new(telemetrytest.Log), prometheus.NewRegistry()
	s, err := Open(t.Context(), Options{Connection: c}, slog.New(slog.NewTextHandler(log, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	registries.Store(s, reg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, log
}

// refusal is the error of Open.
func refusal(t *testing.T, o Options) string {
	t.Helper()
	s, err := Open(t.Context(), o, quiet(t), prometheus.NewRegistry())
	if err == nil {
		_ = s.Close()
		return ""
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than a line", err)
	}
	return err.Error()
}

// TestOperatorsAreToldTheProductAndItsVersion compares with what the program says of
// itself: Valkey's INFO has the version of a Redis, too.
func TestOperatorsAreToldTheProductAndItsVersion(t *testing.T) {
	about, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	product, rest, _ := strings.Cut(strings.ToLower(string(about)), " server v=")
	version, _, _ := strings.Cut(rest, " ")
	for mode, url := range map[string]string{"single": redistest.Shared(t).URL(), "cluster": redistest.SharedCluster(t).URL()} {
		s, log := logged(t, Connection{URL: url})
		if want := `msg="redis is in use" product=` + product + " version=" + version + " mode=" + mode; !strings.Contains(log.String(), want) {
			t.Errorf("%s: the log lacks %q:\n%s", mode, want, log)
		}
		for _, label := range []string{product, version, mode} {
			if n := metric(t, s, "gotapi_history_redis_info", label); n != 1 {
				t.Errorf("%s: gotapi_history_redis_info with %q is %v, want 1", mode, label, n)
			}
		}
	}
}

// TestCapabilitiesAreAskedFor takes commands away from a server of today.
func TestCapabilitiesAreAskedFor(t *testing.T) {
	t.Parallel()
	without := func(command string, args ...string) *redistest.Server {
		return redistest.Start(t, append([]string{"--rename-command", command, ""}, args...)...)
	}
	archiving := Options{Connection: Connection{URL: without("XADD").URL()}, History: History{Archive: 10}}
	if got := refusal(t, archiving); !strings.Contains(got, "xadd (unknown)") {
		t.Errorf("without XADD: %q", got)
	}
	node := without("SPUBLISH", "--cluster-enabled", "yes")
	if answer, err := node.Do("CLUSTER ADDSLOTSRANGE 0 16383"); err != nil || answer != "+OK" {
		t.Fatalf("%q, %v", answer, err)
	}
	if got := refusal(t, Options{Connection: Connection{URL: "redis+cluster://" + node.Addr}}); !strings.Contains(got, "no sharded pub/sub") {
		t.Errorf("a Cluster without SPUBLISH: %q", got)
	}
	if answer, _ := redistest.Shared(t).Do("WAITAOF 0 0 0"); strings.HasPrefix(answer, "-") {
		return // there is none to take away
	}
	fsync := Options{Connection: Connection{URL: without("WAITAOF", "--appendonly", "yes").URL(), Acks: Acks{Fsync: true}}}
	if got := refusal(t, fsync); !strings.Contains(got, "has no WAITAOF") {
		t.Errorf("without WAITAOF: %q", got)
	}
}

// TestACallerWhoseTimeEndsIsNoFailureOfRedis: its own does not count, the store's does.
func TestACallerWhoseTimeEndsIsNoFailureOfRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, log := logged(t, Connection{URL: server.URL()})
	g := room(t)
	must(t, s, g, "a")
	failures := func() float64 { return metric(t, s, "gotapi_history_redis_errors_total") }
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if p, err := s.Page(ctx, g, history.Query{Size: 5}); err == nil {
			t.Errorf("a page of a server that hangs: %+v", p)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if p, err := s.Page(ctx, g, history.Query{Size: 5}); err == nil {
			t.Errorf("a page of a server that hangs: %+v", p)
		}
	}
	if n := failures(); n != 0 || strings.Contains(log.String(), "redis call failed") {
		t.Errorf("%v failures of Redis are counted, want none:\n%s", n, log)
	}
	if _, err := s.Page(t.Context(), g, history.Query{Size: 5}); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("a page of a server that hangs: %v", err)
	}
	if n := failures(); n == 0 || !strings.Contains(log.String(), "redis call failed") {
		t.Errorf("%v failures of Redis are counted, want some:\n%s", n, log)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
}
