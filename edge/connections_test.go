package edge

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// bounded accepts connections with these bounds, and hands them out.
func bounded(t *testing.T, limits Limits, most int) (dial func() net.Conn, accepted <-chan net.Conn, log *telemetrytest.Log) {
	t.Helper()
	log = new(telemetrytest.Log)
	b, err := newBounds(&Config{Limits: limits}, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b.most = most
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan net.Conn)
	go func() {
		defer close(all)
		for {
			conn, err := boundedListener{Listener: ln, bounds: b}.Accept()
			if err != nil {
				return
			}
			all <- conn
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		for conn := range all {
			_ = conn.Close()
		}
	})
	return func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}, all, log
}

func TestTooManyTCPConnectionsAreClosedAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		limits Limits
		most   int
		warns  bool
	}{
		{"of the process", Limits{}, 2, true},
		{"of an address", Limits{AddressTCP: 2}, 0, false},
	} {
		dial, accepted, log := bounded(t, tt.limits, tt.most)
		dial()
		first := <-accepted
		dial()
		second := <-accepted
		if _, err := dial().Read(make([]byte, 1)); err == nil {
			t.Errorf("too many %s: a third one was served", tt.name)
		}
		if got := strings.Contains(log.String(), "tcp connection refused"); got != tt.warns {
			t.Errorf("too many %s: log %q", tt.name, log.String())
		}
		_ = first.Close()
		_ = first.Close() // counts once
		dial()
		third := <-accepted
		if _, err := dial().Read(make([]byte, 1)); err == nil {
			t.Errorf("too many %s: one more was served than had left", tt.name)
		}
		_, _ = second.Close(), third.Close()
	}
}

func TestProxiesMayHaveAnyNumberOfTCPConnections(t *testing.T) {
	t.Parallel()
	dial, accepted, _ := bounded(t, Limits{AddressTCP: 1, TrustedProxies: "127.0.0.0/8"}, 0)
	for range 5 {
		dial()
		defer (<-accepted).Close()
	}
}

// failing is a listener without file descriptors.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) { return nil, errors.New("too many open files") }

func TestFailuresToAcceptAreWarnings(t *testing.T) {
	t.Parallel()
	log := new(telemetrytest.Log)
	b, err := newBounds(new(Config), slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (boundedListener{Listener: failing{}, bounds: b}).Accept(); err == nil {
		t.Error("no error")
	}
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "too many open files") {
		t.Errorf("log %q", text)
	}
}

func TestFileDescriptorsAreKeptForOperations(t *testing.T) {
	t.Parallel()
	most := maxTCPConnections()
	if most <= 0 {
		t.Fatalf("at most %d connections: is there no limit of files here?", most)
	}
	if n := new(Config).maxConnections(); n <= 0 || n >= most {
		t.Errorf("%d WebSockets by default, want fewer than the %d connections that files allow", n, most)
	}
	for n, warns := range map[int]bool{0: false, most: false, most + 1: true} {
		log := new(telemetrytest.Log)
		cfg := Config{MaxConnections: n}
		cfg.warnOfFiles(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
		if got := strings.Contains(log.String(), "max-connections"); got != warns {
			t.Errorf("max-connections %d: log %q", n, log.String())
		}
	}
}
