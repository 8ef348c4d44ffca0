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

// process is one that is well.
func process() ops.Process {
	well := func(context.Context) error { return nil }
	return ops.Process{
		Metrics: telemetry.NewRegistry(), Ready: well, Reload: well, Level: new(slog.LevelVar),
		Version: "v1", Log: slog.New(slog.DiscardHandler),
	}
}

func send(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "localhost:9090"
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestLogLevelCanBeSet(t *testing.T) {
	p := process()
	h := ops.Handler(p)
	for _, tt := range []struct {
		body string
		code int
		want slog.Level
	}{
		{"debug", 200, slog.LevelDebug},
		{"ERROR\n", 200, slog.LevelError},
		{"loud", 400, slog.LevelError},
		{"", 400, slog.LevelError},
		{strings.Repeat("info", 1000), 400, slog.LevelError},
	} {
		if code, body := send(t, h, http.MethodPut, "/log-level", tt.body); code != tt.code {
			t.Errorf("PUT %.20q = %d %s, want %d", tt.body, code, body, tt.code)
		}
		if got := p.Level.Level(); got != tt.want {
			t.Errorf("after PUT %.20q the level is %v, want %v", tt.body, got, tt.want)
		}
	}
}

func TestReloadSaysWhatIsWrong(t *testing.T) {
	p := process()
	if code, _ := send(t, ops.Handler(p), http.MethodPost, "/reload", ""); code != 200 {
		t.Errorf("a good reload: %d, want 200", code)
	}
	p.Reload = func(context.Context) error { return errors.New("-drain: negative") }
	if code, body := send(t, ops.Handler(p), http.MethodPost, "/reload", ""); code != 400 || !strings.Contains(body, "-drain: negative") {
		t.Errorf("a bad reload: %d %q, want 400 and the reason", code, body)
	}
	if code, _ := send(t, ops.Handler(p), http.MethodGet, "/reload", ""); code != 405 {
		t.Errorf("GET /reload: %d, want 405", code)
	}
}

func TestEndpointsAnswer(t *testing.T) {
	ready := errors.New("no history service")
	p := process()
	p.Ready = func(context.Context) error { return ready }
	srv := httptest.NewServer(ops.Handler(p))
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
		{"/version", 200, `"v1"`},
		{"/log-level", 200, "INFO"},
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

func TestServeTakesSmallHeadersUntilItsContextEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	h := ops.Handler(process())
	go func() { served <- ops.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	if code, _ := get(t, "http://"+ln.Addr().String()+"/livez"); code != 200 {
		t.Errorf("GET /livez = %d, want 200", code)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ln.Addr().String()+"/livez", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 32<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 32 KiB: %d, want 431", resp.StatusCode)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestPagesElsewhereDoNotReachThePort(t *testing.T) {
	p := process()
	p.Hosts = []string{"edge-1.example.com"}
	h := ops.Handler(p)
	for _, tt := range []struct {
		name, host string
		headers    []string
		code       int
	}{
		{"an address", "10.1.2.3:9090", nil, 200},
		{"an IPv6 address", "[::1]:9090", nil, 200},
		{"an address without a port", "127.0.0.1", nil, 200},
		{"this machine", "localhost:9090", nil, 200},
		{"a service of Docker's", "edge:9090", nil, 200},
		{"a service of Kubernetes'", "edge.gotapi.svc.cluster.local.:9090", nil, 200},
		{"a name of the operator's", "Edge-1.example.com:9090", nil, 200},
		{"no name", "", nil, 200},
		{"a name of somebody's that points here", "rebound.evil.example:9090", nil, 421},
		{"another name of the operator's", "edge-2.example.com", nil, 421},
		{"its own page", "localhost:9090", []string{"Origin", "http://localhost:9090", "Sec-Fetch-Site", "same-origin"}, 200},
		{"an address that was typed in", "localhost:9090", []string{"Sec-Fetch-Site", "none"}, 200},
		{"a page elsewhere", "localhost:9090", []string{"Origin", "https://evil.example"}, 403},
		{"a page elsewhere, as an image", "localhost:9090", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another port of this machine", "localhost:9090", []string{"Origin", "http://localhost:3000"}, 403},
		{"the same, as an image", "localhost:9090", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a sandboxed page", "localhost:9090", []string{"Origin", "null"}, 403},
	} {
		for _, request := range []string{"POST /reload", "GET /metrics", "GET /debug/pprof/cmdline"} {
			method, path, _ := strings.Cut(request, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
			r.Host = tt.host
			for i := 0; i < len(tt.headers); i += 2 {
				r.Header.Set(tt.headers[i], tt.headers[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.code {
				t.Errorf("%s, %s: %d %s, want %d", tt.name, request, w.Code, w.Body, tt.code)
			}
		}
	}
}
