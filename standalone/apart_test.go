package standalone_test

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

// This file runs the two services as they are apart: over TCP, in one process.

// startHistory runs a history service with an imitation of Redis; its
// settings, with the address that it has, are returned.
func startHistory(t *testing.T, args ...string) *historysvc.Config {
	t.Helper()
	return startHistoryWithLog(t, slog.New(slog.DiscardHandler), args...)
}

func startHistoryWithLog(t *testing.T, log *slog.Logger, args ...string) *historysvc.Config {
	t.Helper()
	redis := miniredis.RunT(t)
	var cfg historysvc.Config
	fs := flag.NewFlagSet("historysvc", flag.ContinueOnError)
	cfg.RegisterFlags(fs)
	if err := fs.Parse(append([]string{"-listen", "127.0.0.1:0", "-redis", "redis://" + redis.Addr() + "/0"}, args...)); err != nil {
		t.Fatal(err)
	}
	cfg.Embedded = true
	ready := make(chan net.Addr, 1)
	cfg.OnReady = func(a net.Addr) { ready <- a }
	serve(t, func(ctx context.Context) error {
		return historysvc.Run(ctx, cfg, log, prometheus.NewRegistry())
	})
	cfg.Listen = await(t, ready).String()
	return &cfg
}

func startEdge(t *testing.T, args ...string) *edge.Config {
	t.Helper()
	var cfg edge.Config
	fs := flag.NewFlagSet("edge", flag.ContinueOnError)
	cfg.RegisterFlags(fs)
	if err := fs.Parse(append([]string{"-listen", "127.0.0.1:0", "-publish-timeout", "1s", "-drain", "10ms"}, args...)); err != nil {
		t.Fatal(err)
	}
	ready := make(chan net.Addr, 1)
	cfg.OnReady = func(a net.Addr) { ready <- a }
	serve(t, func(ctx context.Context) error {
		return edge.Run(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	})
	cfg.Listen = await(t, ready).String()
	return &cfg
}

// serve runs a service until the test's end.
func serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came within 30 s")
		panic("unreachable")
	}
}

// post publishes data over an edge and returns the status.
func post(t *testing.T, addr string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/a", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestServicesSpeakMutualTLSAndStrangersGetNothing(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), tlstest.NewAuthority(t)
	ca := authority.Write(t, dir, "authority")
	cert, key := authority.Server(t, "history.internal").Write(t, dir, "history")
	history := startHistory(t, "-grpc-tls-cert", cert, "-grpc-tls-key", key, "-grpc-tls-client-ca", ca)
	if err := history.Probe(t.Context()); err != nil {
		t.Errorf("Probe of the history service = %v, want nil", err)
	}

	until := time.Now().Add(time.Hour)
	mine, mineKey := authority.Client(t, until).Write(t, dir, "edge")
	expired, expiredKey := authority.Client(t, time.Now().Add(-time.Minute)).Write(t, dir, "expired")
	other, otherKey := tlstest.NewAuthority(t).Client(t, until).Write(t, dir, "other")
	for name, tt := range map[string]struct {
		args []string
		want int
	}{
		"a certificate of the authority": {[]string{"-history-tls-ca", ca, "-history-tls-cert", mine, "-history-tls-key", mineKey}, 200},
		"the name of the service": {[]string{
			"-history-tls-ca", ca, "-history-tls-cert", mine, "-history-tls-key", mineKey,
			"-history-tls-server-name", "history.internal",
		}, 200},
		"no TLS":                 {nil, 503},
		"no certificate":         {[]string{"-history-tls-ca", ca}, 503},
		"an expired certificate": {[]string{"-history-tls-ca", ca, "-history-tls-cert", expired, "-history-tls-key", expiredKey}, 503},
		"another authority's":    {[]string{"-history-tls-ca", ca, "-history-tls-cert", other, "-history-tls-key", otherKey}, 503},
		"no trust in the server": {[]string{"-history-tls", "-history-tls-cert", mine, "-history-tls-key", mineKey}, 503},
		"another name": {[]string{
			"-history-tls-ca", ca, "-history-tls-cert", mine, "-history-tls-key", mineKey,
			"-history-tls-server-name", "elsewhere.internal",
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			face := startEdge(t, append([]string{"-history", history.Listen}, tt.args...)...)
			if got := post(t, face.Listen); got != tt.want {
				t.Errorf("a publish is answered with %d, want %d", got, tt.want)
			}
		})
	}
}

func TestStandaloneSpeaksTLSToOthersAndNotToItself(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), tlstest.NewAuthority(t)
	ca := authority.Write(t, dir, "authority")
	cert, key := authority.Server(t).Write(t, dir, "server")
	s := start(t, "-grpc-tls-cert", cert, "-grpc-tls-key", key, "-grpc-tls-client-ca", ca)
	if got := post(t, s.http); got != http.StatusOK {
		t.Errorf("a publish over the pipe is answered with %d, want 200", got)
	}
	cfg := historysvc.Config{Listen: s.grpc}
	if err := cfg.Probe(t.Context()); err == nil {
		t.Error("gRPC answers without TLS")
	}
	cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.CA = cert, key, ca
	if err := cfg.Probe(t.Context()); err != nil {
		t.Errorf("Probe = %v, want nil", err)
	}
}

func TestAHistoryServiceWithoutTheHookOfItsEdgesWarns(t *testing.T) {
	t.Parallel()
	hook := []string{"-hook-before-url", startModerator(t).url}
	for _, tt := range []struct {
		name          string
		edge, history []string
		warns         bool
	}{
		{"on the edge only", hook, nil, true},
		{"on both", hook, hook, false},
		{"on none", nil, nil, false},
	} {
		log := new(telemetrytest.Log)
		history := startHistoryWithLog(t, slog.New(slog.NewTextHandler(log, nil)), tt.history...)
		face := startEdge(t, append(tt.edge, "-history", history.Listen)...)
		if got := post(t, face.Listen); got != http.StatusOK {
			t.Errorf("a hook %s: a publish is answered with %d", tt.name, got)
		}
		if got := strings.Contains(log.String(), "not reviewed"); got != tt.warns {
			t.Errorf("a hook %s: log %s", tt.name, log.String())
		}
	}
}
