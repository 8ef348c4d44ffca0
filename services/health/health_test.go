package health_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gotapi/gotapi-ws/services/health"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// silent returns the address of a listener that accepts and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

func nobody(t *testing.T) string {
	t.Helper()
	ln := listen(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String()
}

func TestHTTPWantsStatus200(t *testing.T) {
	code := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	defer srv.Close()
	if err := health.HTTP(t.Context(), srv.URL, nil); err != nil {
		t.Errorf("HTTP of a server that answers 200 = %v", err)
	}
	code = http.StatusServiceUnavailable
	if err := health.HTTP(t.Context(), srv.URL, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("HTTP of a server that answers 503 = %v", err)
	}
}

func TestGRPCWantsServing(t *testing.T) {
	ln := listen(t)
	srv, status := grpc.NewServer(), grpchealth.NewServer()
	healthv1.RegisterHealthServer(srv, status)
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()

	if err := health.GRPC(t.Context(), ln.Addr().String(), nil); err != nil {
		t.Errorf("GRPC of a serving server = %v", err)
	}
	status.Shutdown()
	if err := health.GRPC(t.Context(), ln.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), "NOT_SERVING") {
		t.Errorf("GRPC of a server that is going down = %v", err)
	}
}

func TestProbesFailWhereNobodyAnswers(t *testing.T) {
	for name, addr := range map[string]string{"nobody": nobody(t), "silent": silent(t)} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := health.HTTP(ctx, "http://"+addr, nil); err == nil {
			t.Errorf("HTTP, %s: no error", name)
		}
		if err := health.GRPC(ctx, addr, nil); err == nil {
			t.Errorf("GRPC, %s: no error", name)
		}
		cancel()
	}
}

func TestLocalReplacesUnspecifiedHosts(t *testing.T) {
	for listen, want := range map[string]string{
		":4998":          "127.0.0.1:4998",
		"0.0.0.0:4998":   "127.0.0.1:4998",
		"[::]:4998":      "[::1]:4998",
		"10.1.2.3:4998":  "10.1.2.3:4998",
		"localhost:4998": "localhost:4998",
	} {
		if got, err := health.Local(listen); err != nil || got != want {
			t.Errorf("Local(%q) = %q, %v, want %q", listen, got, err, want)
		}
	}
	if _, err := health.Local("4998"); err == nil {
		t.Error(`Local("4998"): no error`)
	}
}
