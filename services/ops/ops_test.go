package ops_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gotapi/gotapi-ws/services/ops"
	"github.com/gotapi/gotapi-ws/services/telemetry"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEndpointsAnswer(t *testing.T) {
	ready := errors.New("no history service")
	srv := httptest.NewServer(ops.Handler(telemetry.NewRegistry(), func(context.Context) error { return ready }))
	defer srv.Close()
	for _, tt := range []struct {
		path string
		code int
		text string
	}{
		{"/livez", 200, "ok"},
		{"/readyz", 503, "no history service"},
		{"/metrics", 200, "go_goroutines"},
		{"/debug/pprof/", 200, "goroutine"},
		{"/debug/pprof/cmdline", 200, "ops"},
		{"/debug/pprof/symbol", 200, "num_symbols"},
		{"/other", 404, ""},
	} {
		code, body := get(t, srv.URL+tt.path)
		if code != tt.code || !strings.Contains(body, tt.text) {
			t.Errorf("GET %s = %d %.80q, want %d with %q", tt.path, code, body, tt.code, tt.text)
		}
	}
	ready = nil
	if code, _ := get(t, srv.URL+"/readyz"); code != 200 {
		t.Errorf("GET /readyz when ready = %d, want 200", code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	h := ops.Handler(telemetry.NewRegistry(), func(context.Context) error { return nil })
	go func() { served <- ops.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	if code, _ := get(t, "http://"+ln.Addr().String()+"/livez"); code != 200 {
		t.Errorf("GET /livez = %d, want 200", code)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}
