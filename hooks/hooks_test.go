package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

// config is the default one.
func config(args ...string) Config {
	var cfg Config
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	cfg.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		panic(err)
	}
	return cfg
}

func newHooks(t *testing.T, cfg Config) *Hooks {
	t.Helper()
	h, err := New(cfg, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve is a webhook.
func serve(t *testing.T, handle http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

func saying(t *testing.T, status int, answer string) (url string) {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
}

func TestTheHookDecides(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		want         Verdict
	}{
		{"allow", `{"action":"allow"}`, 200, Verdict{Action: Allow}},
		{"nothing", "", 204, Verdict{Action: Allow}},
		{"deny", `{"action":"deny","reason":"no links"}`, 200, Verdict{Action: Deny, Reason: "no links"}},
		{"deny without reason", `{"action":"deny"}`, 200, Verdict{Action: Deny, Reason: defaultReason}},
		{"deny at length", `{"action":"deny","reason":"` + strings.Repeat("é", 200) + `"}`, 200, Verdict{Action: Deny, Reason: strings.Repeat("é", 100)}},
		{"rewrite", `{"action":"rewrite","packet":"***"}`, 201, Verdict{Action: Rewrite, Text: "***"}},
		{"rewrite to nothing", `{"action":"rewrite","packet":""}`, 200, Verdict{Action: Fail}},
		{"rewrite without packet", `{"action":"rewrite"}`, 200, Verdict{Action: Fail}},
		{"another action", `{"action":"maybe"}`, 200, Verdict{Action: Fail}},
		{"no action", `{}`, 200, Verdict{Action: Fail}},
		{"no JSON", "ok", 200, Verdict{Action: Fail}},
		{"too much", strings.Repeat(" ", maxAnswerBytes+1), 200, Verdict{Action: Fail}},
		{"a fault", `{"action":"allow"}`, 500, Verdict{Action: Fail}},
		{"not found", "", 404, Verdict{Action: Fail}},
		{"a redirect", "", 302, Verdict{Action: Fail}},
	} {
		url := saying(t, tt.status, tt.answer)
		got := newHooks(t, config("-hook-before-url", url)).Before.Ask(t.Context(), &Packet{Group: "/a"})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if tt.want.Action != Fail {
			continue
		}
		got = newHooks(t, config("-hook-before-url", url, "-hook-on-failure", "allow")).Before.Ask(t.Context(), &Packet{Group: "/a"})
		if got.Action != Allow {
			t.Errorf("%s, when failures allow: %+v", tt.name, got)
		}
	}
}

func TestTheHookIsToldWhatWhoAndWhere(t *testing.T) {
	const secret = "a secret of at least 24 bytes"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("whsec_"+base64.StdEncoding.EncodeToString([]byte(secret))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []byte
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), got)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
			t.Errorf("signature %q, want %q", r.Header.Get("Webhook-Signature"), want)
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Webhook-Id") == "" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
	})
	b := newHooks(t, config("-hook-before-url", url, "-hook-secret-file", path)).Before
	p := NewPacket("/room/1", "alice", WebSocket, stream.Message, "u", []byte(`{"type":2}`))
	if v := b.Ask(t.Context(), p); v.Action != Allow {
		t.Fatalf("%+v", v)
	}
	var e map[string]any
	if err := json.Unmarshal(got, &e); err != nil {
		t.Fatal(err)
	}
	delete(e, "timestamp")
	want := map[string]any{"type": "before_publish", "data": map[string]any{
		"group": "/room/1", "user": "alice", "source": "websocket", "kind": "data", "uuid": "u", "packet": `{"type":2}`,
	}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Ask(t.Context(), NewPacket("/room/1", "alice", WebSocket, stream.Binary, "", []byte{0xff, 0}))
	if !strings.Contains(string(got), `"packet_base64":"/wA="`) || strings.Contains(string(got), `"packet":`) {
		t.Errorf("bytes that are no text: %s", got)
	}
}

func TestAHookThatHangsHoldsPacketsUpForABoundedTime(t *testing.T) {
	hang := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	for onFailure, want := range map[string]Action{"deny": Fail, "allow": Allow} {
		b := newHooks(t, config("-hook-before-url", url, "-hook-timeout", "50ms", "-hook-on-failure", onFailure)).Before
		answer := make(chan Verdict, 1)
		go func() { answer <- b.Ask(t.Context(), &Packet{}) }()
		select {
		case v := <-answer:
			if v.Action != want {
				t.Errorf("%s: %+v", onFailure, v)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("still waiting after 20 s")
		}
	}
}

func TestErrorsOfHooksDoNotShowTheURL(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, url := range map[string]string{"is gone": gone.URL, "fails": saying(t, 500, "")} {
		w := newWebhook(url+"/?token=hunter2", nil, 1)
		if _, err := w.send(t.Context(), newEvent("before_publish", nil)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the hook %s: error %v, want one without what the URL holds", name, err)
		}
	}
}

func TestNoMoreThanThatManyAskAndWait(t *testing.T) {
	const concurrency, queue = 3, 4
	var asking, most atomic.Int32
	go1 := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		n := asking.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-go1
		asking.Add(-1)
	})
	b := newHooks(t, config("-hook-before-url", url, "-hook-timeout", "5s",
		"-hook-concurrency", fmt.Sprint(concurrency), "-hook-queue", fmt.Sprint(queue))).Before
	verdicts := make(chan Verdict, concurrency+queue)
	for range concurrency + queue {
		go func() { verdicts <- b.Ask(t.Context(), &Packet{}) }()
	}
	for deadline := time.Now().Add(20 * time.Second); b.inside.Load() < concurrency+queue || asking.Load() < concurrency; {
		if time.Now().After(deadline) {
			t.Fatalf("%d are inside, %d ask", b.inside.Load(), asking.Load())
		}
		time.Sleep(time.Millisecond)
	}
	if v := b.Ask(t.Context(), &Packet{}); v.Action != Busy {
		t.Errorf("one too many: %+v, want Busy", v)
	}
	close(go1)
	for range concurrency + queue {
		if v := <-verdicts; v.Action != Allow {
			t.Errorf("%+v, want Allow", v)
		}
	}
	if most.Load() > concurrency {
		t.Errorf("%d asked at one time, want at most %d", most.Load(), concurrency)
	}
	if b.inside.Load() != 0 {
		t.Errorf("%d are still inside", b.inside.Load())
	}
}

func TestARewriteStaysWhatItWas(t *testing.T) {
	const most = 100
	for _, tt := range []struct {
		kind stream.Kind
		uuid string
		text string
		want stream.Kind // 0: it is not done
	}{
		{stream.Message, "u", `{"type":2,"uuid":"u","body":{"data":"***"}}`, stream.Message},
		{stream.Message, "", `{"type":2,"body":{"data":"***"}}`, stream.Message},
		{stream.Message, "u", `{"type":2,"uuid":"v","body":{"data":"***"}}`, 0},
		{stream.Message, "u", `{"type":2,"body":{"data":"***"}}`, 0},
		{stream.Message, "u", "***", 0},
		{stream.Message, "u", `{"type":1,"command":6,"uuid":"u"}`, 0},
		{stream.Message, "", `{"type":2,"body":{"data":"` + strings.Repeat("*", most) + `"}}`, 0},
		{stream.Text, "", "***", stream.Text},
		{stream.Binary, "", "***", stream.Text},
		{stream.Text, "", `{"type":1,"command":3,"uuid":"u"}`, stream.Text},
		{stream.Text, "", `{"type":1,"command":6,"uuid":"u"}`, 0},
		{stream.Text, "", `{"type":2,"uuid":"u","body":{}}`, 0},
	} {
		p := NewPacket("/a", "", HTTP, tt.kind, tt.uuid, []byte("before"))
		body, kind, ok := p.Rewrite(tt.text, most)
		if ok != (tt.want != 0) || ok && (kind != tt.want || string(body) != tt.text || p.Text != tt.text) {
			t.Errorf("%v %q to %q: %v, %v", tt.kind, tt.uuid, tt.text, kind, ok)
		}
		if !ok && p.Text != "before" {
			t.Errorf("%q: the packet has changed although the rewrite cannot be done", tt.text)
		}
	}
}

func TestWithoutHooksNothingIsAsked(t *testing.T) {
	h, err := New(config(), "test", nil, nil)
	if h != nil || err != nil {
		t.Errorf("%v, %v", h, err)
	}
	if v := (*Before)(nil).Ask(t.Context(), nil); v.Action != Allow {
		t.Errorf("%+v", v)
	}
	(*After)(nil).Tell(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (*Hooks)(nil).Run(ctx); err != nil {
		t.Error(err)
	}
}

// listener is a webhook that is told afterwards.
type listener struct {
	mu      sync.Mutex
	heard   []string
	batches []int
	ids     map[string]int
	fail    int
	more    chan struct{}
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Type string
		Data []Packet
	}
	err := json.NewDecoder(r.Body).Decode(&e)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[r.Header.Get("Webhook-Id")]++
	if l.fail > 0 || err != nil || e.Type != "after_publish" {
		l.fail--
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	l.batches = append(l.batches, len(e.Data))
	for i := range e.Data {
		l.heard = append(l.heard, e.Data[i].UUID)
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *listener) wait(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		heard := append([]string(nil), l.heard...)
		l.mu.Unlock()
		if len(heard) >= n {
			return heard
		}
		select {
		case <-l.more:
		case <-deadline:
			t.Fatalf("%d packets were told after 20 s, want %d", len(heard), n)
		}
	}
}

func newAfterTest(t *testing.T) (*Hooks, *listener) {
	t.Helper()
	l := &listener{ids: make(map[string]int), more: make(chan struct{}, 1)}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	h := newHooks(t, config("-hook-after-url", s.URL))
	h.After.pause = time.Millisecond
	return h, l
}

// runAfter runs the hooks until the function that it returns is called.
func runAfter(t *testing.T, h *Hooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("u", i)
	}
	return all
}

func TestPacketsAreToldInOrderAndInBatches(t *testing.T) {
	h, l := newAfterTest(t)
	want := numbered(250)
	for _, uuid := range want {
		h.After.Tell(&Packet{UUID: uuid})
	}
	runAfter(t, h)
	if diff := cmp.Diff(want, l.wait(t, len(want))); diff != "" {
		t.Errorf("(-published +told):\n%s", diff)
	}
	if diff := cmp.Diff([]int{100, 100, 50}, l.batches); diff != "" {
		t.Errorf("batches:\n%s", diff)
	}
}

func TestLargePacketsAreToldInSmallerBatches(t *testing.T) {
	h, l := newAfterTest(t)
	for _, uuid := range numbered(5) {
		h.After.Tell(&Packet{UUID: uuid, Text: strings.Repeat("x", batchBytes/2-1000)})
	}
	h.After.Tell(&Packet{UUID: "large", Text: strings.Repeat("x", batchBytes+1)})
	runAfter(t, h)
	l.wait(t, 6)
	if diff := cmp.Diff([]int{2, 2, 1, 1}, l.batches); diff != "" {
		t.Errorf("batches:\n%s", diff)
	}
}

func TestABatchIsTriedAgainUnderTheSameID(t *testing.T) {
	h, l := newAfterTest(t)
	l.fail = afterTries - 1
	h.After.Tell(&Packet{UUID: "a"})
	runAfter(t, h)
	if got := l.wait(t, 1); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("told of %q", got)
	}
	if len(l.ids) != 1 {
		t.Errorf("%d ids for one batch", len(l.ids))
	}
}

func TestABatchThatCannotBeToldDoesNotStopTheNext(t *testing.T) {
	h, l := newAfterTest(t)
	l.fail = afterTries
	for _, uuid := range numbered(batchItems + 1) {
		h.After.Tell(&Packet{UUID: uuid})
	}
	runAfter(t, h)
	if got := l.wait(t, 1); !cmp.Equal(got, []string{fmt.Sprint("u", batchItems)}) {
		t.Errorf("told of %q", got)
	}
}

func TestTellNeverBlocksAndItsQueueIsBounded(t *testing.T) {
	h, _ := newAfterTest(t) // it does not run
	for range afterItems + 100 {
		h.After.Tell(&Packet{UUID: "u"})
	}
	if n := len(h.After.waiting); n != afterItems {
		t.Errorf("%d packets wait, want %d", n, afterItems)
	}
	h, _ = newAfterTest(t)
	for range 100 {
		h.After.Tell(&Packet{Text: strings.Repeat("x", 1<<20)})
	}
	if h.After.bytes > afterBytes {
		t.Errorf("%d bytes wait, want at most %d", h.After.bytes, afterBytes)
	}
}

func TestWhatWaitsAtTheEndIsStillTold(t *testing.T) {
	h, l := newAfterTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.After.Tell(&Packet{UUID: "last"})
	if err := h.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"last"}, l.heard); diff != "" {
		t.Errorf("(-want +told):\n%s", diff)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for _, args := range [][]string{
		{"-hook-before-url", "nowhere"},
		{"-hook-after-url", "ftp://x"},
		{"-hook-timeout", "1h", "-hook-before-url", "http://x"},
		{"-hook-on-failure", "perhaps", "-hook-before-url", "http://x"},
		{"-hook-concurrency", "0", "-hook-before-url", "http://x"},
		{"-hook-queue", "-1", "-hook-before-url", "http://x"},
	} {
		cfg := config(args...)
		var wrong []string
		cfg.Check(func(ok bool, format string, args ...any) {
			if !ok {
				wrong = append(wrong, fmt.Sprintf(format, args...))
			}
		})
		if len(wrong) != 1 || !strings.HasPrefix(wrong[0], args[0]) {
			t.Errorf("%q: %q", args, wrong)
		}
	}
	path := filepath.Join(t.TempDir(), "secret")
	for _, secret := range []string{"short", "whsec_!", "whsec_" + base64.StdEncoding.EncodeToString([]byte("short"))} {
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(config("-hook-after-url", "http://x", "-hook-secret-file", path), "test", nil, prometheus.NewRegistry()); err == nil {
			t.Errorf("the secret %q is accepted", secret)
		}
	}
}

func FuzzVerdict(f *testing.F) {
	f.Add([]byte(`{"action":"deny","reason":"x"}`))
	f.Add([]byte(`{"action":"rewrite","packet":"x"}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		v, err := parseVerdict(answer)
		if err == nil && (v.Action == 0 || len(v.Reason) > maxReason || v.Action == Rewrite && v.Text == "") {
			t.Errorf("%q: %+v", answer, v)
		}
	})
}
