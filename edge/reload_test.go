package edge_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/services/health"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// ask sends a request with that origin and secret, and returns the status and
// whether pages of the origin may read the answer.
func (f *runningEdge) ask(method, path, origin, secret string) (status int, readable bool) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.addr+path, strings.NewReader("hello"))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	r.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin") != ""
}

func TestReloadedSettingsAreUsedFromThenOn(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	reloads := make(chan *edge.Config)
	cfg.Reloads = reloads
	cfg.AllowedOrigins = "https://one.example"
	cfg.AdminSecretFile = write(t, "secret", "first")
	f := start(t, cfg)
	const one, two = "https://one.example", "https://two.example"
	if _, ok := f.ask("POST", "/a", one, ""); !ok {
		t.Error("the first origin is refused")
	}
	if status, _ := f.ask("GET", "/__/groups", one, "first"); status == http.StatusForbidden {
		t.Error("the first secret is refused")
	}
	old, _, err := dial(websocket.DefaultDialer, "ws://"+f.addr+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = old.Close() })

	next := cfg
	next.AllowedOrigins, next.MaxMessageBytes, next.MaxConnections = two, 4, 1
	if err := os.WriteFile(cfg.AdminSecretFile, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	reloads <- &next
	reloads <- &next // taken when the one before is in use

	if _, ok := f.ask("POST", "/a", one, ""); ok {
		t.Error("the first origin may still read answers")
	}
	if status, ok := f.ask("POST", "/a", two, ""); !ok || status != http.StatusRequestEntityTooLarge {
		t.Errorf("the second origin: got %d and readable %v, want 413 for five bytes, and true", status, ok)
	}
	if status, _ := f.ask("GET", "/__/groups", two, "first"); status != http.StatusForbidden {
		t.Errorf("the first secret: got %d, want 403", status)
	}
	if status, _ := f.ask("GET", "/__/groups", two, "second"); status == http.StatusForbidden {
		t.Error("the second secret is refused")
	}
	if err := os.WriteFile(cfg.AdminSecretFile, []byte("third"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third secret is in use without a reload", func() bool {
		status, _ := f.ask("GET", "/__/groups", two, "third")
		return status != http.StatusForbidden
	})
	// The connection that is there keeps its limits, and takes the only place.
	if err := old.WriteMessage(websocket.TextMessage, []byte(data)); err != nil {
		t.Fatal(err)
	}
	(&client{t, old}).want(websocket.TextMessage, ack)
	if _, r, err := dial(websocket.DefaultDialer, "ws://"+f.addr+"/a", nil); err == nil || r.code != http.StatusServiceUnavailable {
		t.Errorf("a second connection: got %v, want 503", err)
	}
}

func TestAShortAdminSecretIsWarnedOfAtStartAndWhenItReplacesAnother(t *testing.T) {
	t.Parallel()
	cfg := config(newHistorysvc().start(t))
	reloads := make(chan *edge.Config)
	cfg.Reloads = reloads
	cfg.AdminSecretFile = write(t, "secret", "first")
	log := new(telemetrytest.Log)
	startLogging(t, cfg, slog.New(slog.NewTextHandler(log, nil)))
	if !strings.Contains(log.String(), "-admin-secret-file: a secret of 5 bytes is easy to guess") {
		t.Errorf("the start does not warn:\n%s", log)
	}
	if err := os.WriteFile(cfg.AdminSecretFile, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	reloads <- &cfg
	reloads <- &cfg // taken when the one before is in use
	if !strings.Contains(log.String(), "-admin-secret-file: a secret of 6 bytes is easy to guess") {
		t.Errorf("the reload does not warn:\n%s", log)
	}
}

func TestARewriteMayBeAsLargeAsMessagesAreNow(t *testing.T) {
	t.Parallel()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"action":"rewrite","packet":"longer than before"}`)
	}))
	t.Cleanup(hook.Close)
	cfg := config(newHistorysvc().start(t))
	reloads := make(chan *edge.Config)
	cfg.Reloads = reloads
	cfg.Hooks = hooks.Config{BeforeURL: hook.URL, Timeout: 5 * time.Second, OnFailure: "deny", Concurrency: 1, Queue: 1}
	cfg.MaxMessageBytes = 5
	f := start(t, cfg)
	f.wantRaw("a rewrite that is too large", publishHead+"\r\nx", 403)
	next := cfg
	next.MaxMessageBytes = 50
	reloads <- &next
	reloads <- &next // taken when the one before is in use
	f.wantRaw("the same, when it is not", publishHead+"\r\nx", 200)
}

func TestEdgeIsReadyWhileItHasARelay(t *testing.T) {
	t.Parallel()
	svc := newHistorysvc()
	cfg := config(svc.start(t))
	cfg.Ready = new(health.Checks)
	start(t, cfg)
	wantReady := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); (cfg.Ready.Ready(t.Context()) == nil) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("ready is %v, want %v", !want, want)
			}
		}
	}
	wantReady(true)
	svc.refuse(true)
	svc.breakStreams(io.ErrUnexpectedEOF)
	wantReady(false)
	svc.refuse(false)
	wantReady(true)
}

func TestVersionIsPublic(t *testing.T) {
	t.Parallel()
	f, _ := startBoth(t)
	resp, err := http.Get("http://" + f.addr + "/__/version")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Code                      int
		Version, Commit, Date, Go string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Code != 200 || got.Version == "" || got.Commit == "" || got.Date == "" || !strings.HasPrefix(got.Go, "go1") {
		t.Errorf("got %+v", got)
	}
}
