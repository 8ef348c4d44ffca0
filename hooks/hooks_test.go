package hooks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
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

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
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
		want         verdict
	}{
		{"allow", `{"action":"allow"}`, 200, verdict{action: allow}},
		{"nothing", "", 204, verdict{action: allow}},
		{"deny", `{"action":"deny","reason":"no links"}`, 200, verdict{action: deny, reason: "no links"}},
		{"deny without reason", `{"action":"deny"}`, 200, verdict{action: deny}},
		{"deny at length", `{"action":"deny","reason":"` + strings.Repeat("é", 200) + `"}`, 200, verdict{action: deny, reason: strings.Repeat("é", 100)}},
		{"rewrite", `{"action":"rewrite","packet":"***"}`, 201, verdict{action: rewrite, text: "***"}},
		{"rewrite to nothing", `{"action":"rewrite","packet":""}`, 200, verdict{action: fail}},
		{"rewrite without packet", `{"action":"rewrite"}`, 200, verdict{action: fail}},
		{"another action", `{"action":"maybe"}`, 200, verdict{action: fail}},
		{"no action", `{}`, 200, verdict{action: fail}},
		{"no JSON", "ok", 200, verdict{action: fail}},
		{"too much", strings.Repeat(" ", maxAnswerBytes+1), 200, verdict{action: fail}},
		{"a fault", `{"action":"allow"}`, 500, verdict{action: fail}},
		{"not found", "", 404, verdict{action: fail}},
		{"a redirect", "", 302, verdict{action: fail}},
	} {
		url := saying(t, tt.status, tt.answer)
		got := newHooks(t, config("-hook-before-url", url)).Before.ask(t.Context(), &Packet{Group: "/a"})
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if tt.want.action != fail {
			continue
		}
		got = newHooks(t, config("-hook-before-url", url, "-hook-on-failure", "allow")).Before.ask(t.Context(), &Packet{Group: "/a"})
		if got.action != allow {
			t.Errorf("%s, when failures allow: %+v", tt.name, got)
		}
	}
}

func TestRequestsAreSignedWithTheWholeSecret(t *testing.T) {
	const secret = "\t a secret with white space around it "
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
		if got, want := r.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("signature %q, want %q", got, want)
		}
	})
	b := newHooks(t, config("-hook-before-url", url, "-hook-secret-file", path)).Before
	if v := b.ask(t.Context(), &Packet{Group: "/a"}); v.action != allow {
		t.Errorf("got %+v, want that it is allowed", v)
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
	p := NewPacket("/room/1", Caller{User: "alice", By: stream.Author{Name: "alice"}}, WebSocket, stream.Message, "u", []byte(`{"type":2}`))
	if v := b.ask(t.Context(), p); v.action != allow {
		t.Fatalf("%+v", v)
	}
	var e map[string]any
	if err := json.Unmarshal(got, &e); err != nil {
		t.Fatal(err)
	}
	delete(e, "timestamp")
	want := map[string]any{"type": "before_publish", "data": map[string]any{
		"group": "/room/1", "user": "alice", "by": "alice", "source": "websocket", "kind": "data", "uuid": "u", "packet": `{"type":2}`,
	}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.ask(t.Context(), NewPacket("/room/1", Caller{User: "alice", By: stream.Author{Name: "alice"}}, WebSocket, stream.Binary, "", []byte{0xff, 0}))
	if !strings.Contains(string(got), `"packet_base64":"/wA="`) || strings.Contains(string(got), `"packet":`) {
		t.Errorf("bytes that are no text: %s", got)
	}
}

func TestHooksNameTheAuthorAndTheCredential(t *testing.T) {
	for want, from := range map[string]Caller{
		`"user":"alice","by":"alice","source"`: {"alice", stream.Author{Name: "alice"}},
		`"user":"shop","key":"shop","source"`:  {"shop", stream.Author{Name: "shop", Key: true}},
		`"user":"shop","by":"alice","source"`:  {"shop", stream.Author{Name: "alice"}},
		`"group":"/a","source"`:                {},
	} {
		p := NewPacket("/a", from, HTTP, stream.Message, "u", []byte(`{"type":2}`))
		text, err := json.Marshal(p)
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), `"at"`) {
			t.Errorf("%+v: %s, %v, want %s, and no time before it is stored", from, text, err, want)
		}
		small := *p
		small.User, small.By, small.Key = "", "", ""
		if names := p.size() - small.size(); names != len(p.User)+len(p.By)+len(p.Key) {
			t.Errorf("%+v: the names count as %d bytes", from, names)
		}
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
	for onFailure, want := range map[string]action{"deny": fail, "allow": allow} {
		b := newHooks(t, config("-hook-before-url", url, "-hook-timeout", "50ms", "-hook-on-failure", onFailure)).Before
		answer := make(chan verdict, 1)
		go func() { answer <- b.ask(t.Context(), &Packet{}) }()
		select {
		case v := <-answer:
			if v.action != want {
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
		w := newWebhook(url+"/?token=hunter2", credentials{}, 1)
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
	verdicts := make(chan verdict, concurrency+queue)
	for i := range concurrency + queue {
		go func() { verdicts <- b.ask(t.Context(), &Packet{Group: fmt.Sprint(i)}) }()
	}
	for deadline := time.Now().Add(20 * time.Second); b.turns.count() < concurrency+queue || asking.Load() < concurrency; {
		if time.Now().After(deadline) {
			t.Fatalf("%d are inside, %d ask", b.turns.count(), asking.Load())
		}
		time.Sleep(time.Millisecond)
	}
	if v := b.ask(t.Context(), &Packet{}); v.action != busy {
		t.Errorf("one too many: %+v, want Busy", v)
	}
	close(go1)
	for range concurrency + queue {
		if v := <-verdicts; v.action != allow {
			t.Errorf("%+v, want Allow", v)
		}
	}
	if most.Load() > concurrency {
		t.Errorf("%d asked at one time, want at most %d", most.Load(), concurrency)
	}
	if b.turns.count() != 0 {
		t.Errorf("%d are still inside", b.turns.count())
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
		p := NewPacket("/a", Caller{}, HTTP, tt.kind, tt.uuid, []byte("before"))
		r, ok := p.rewrite(tt.text, most)
		if ok != (tt.want != 0) || ok && (r.Kind != tt.want || string(r.Body) != tt.text || p.Text != tt.text) {
			t.Errorf("%v %q to %q: %+v, %v", tt.kind, tt.uuid, tt.text, r, ok)
		}
		if !ok && p.Text != "before" {
			t.Errorf("%q: the packet has changed although the rewrite cannot be done", tt.text)
		}
	}
}

func TestVerdictsRefuseAndRewrite(t *testing.T) {
	data := func(text string) string { return `{"type":2,"uuid":"u","body":{"data":"` + text + `"}}` }
	quoted := func(text string) string {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, tt := range []struct {
		name, answer string
		code         int
		want         *Rewrite
		denied       error
	}{
		{"allow", `{"action":"allow"}`, 200, nil, nil},
		{
			"deny", `{"action":"deny","reason":"no links"}`, 200, nil,
			&access.DeniedError{Status: 403, Reason: access.RefusedByHook, Msg: "no links"},
		},
		{
			"deny without reason", `{"action":"deny"}`, 200, nil,
			&access.DeniedError{Status: 403, Reason: access.RefusedByHook, Msg: "the message was not allowed"},
		},
		{
			"no answer", "", 500, nil,
			&access.DeniedError{Status: 503, Reason: access.HookUnavailable, Msg: "the message cannot be checked now"},
		},
		{
			"rewrite", `{"action":"rewrite","packet":` + quoted(data("***")) + `}`, 200,
			&Rewrite{Kind: stream.Message, Body: []byte(data("***"))}, nil,
		},
		{
			"rewrite into something else", `{"action":"rewrite","packet":"***"}`, 200, nil,
			&access.DeniedError{Status: 403, Reason: access.RefusedByHook, Msg: "the message was not allowed"},
		},
	} {
		b := newHooks(t, config("-hook-before-url", saying(t, tt.code, tt.answer))).Before
		p := NewPacket("/a", Caller{}, HTTP, stream.Message, "u", []byte(data("before")))
		got, err := b.Review(t.Context(), p, 1000)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.denied, err); diff != "" {
			t.Errorf("%s: error (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestWithoutHooksNothingIsAsked(t *testing.T) {
	h, err := New(config(), "test", nil, nil)
	if h != nil || err != nil {
		t.Errorf("%v, %v", h, err)
	}
	if r, err := (*Before)(nil).Review(t.Context(), nil, 0); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	(*After)(nil).Tell(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (*Hooks)(nil).Run(ctx); err != nil {
		t.Error(err)
	}
}

// listener is a webhook after publishing.
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
			t.Fatalf("%d packets came within 20 s, want %d", len(heard), n)
		}
	}
}

func newAfterTest(t *testing.T) (*Hooks, *listener) {
	t.Helper()
	l := &listener{ids: make(map[string]int), more: make(chan struct{}, 1)}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	h := newHooks(t, config("-hook-after-url", s.URL))
	h.After.retry = backoff.Policy{Min: time.Millisecond}
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
	for range afterItems {
		h.After.Tell(&Packet{Group: "/flood", UUID: "u"})
	}
	if n := len(h.After.waiting); n != afterItems/fairshare.GroupShare {
		t.Errorf("%d packets of one group wait, want %d", n, afterItems/fairshare.GroupShare)
	}
	for i := range 10 * afterItems {
		h.After.Tell(&Packet{Group: fmt.Sprint("/", i%8), UUID: "u"})
	}
	if n := len(h.After.waiting); n != afterItems-afterItems/8 {
		t.Errorf("%d packets wait, want %d", n, afterItems-afterItems/8)
	}
	h, _ = newAfterTest(t)
	for range 100 {
		h.After.Tell(&Packet{Text: strings.Repeat("x", 1<<20)})
	}
	if h.After.queue.Total.Bytes > afterBytes {
		t.Errorf("%d bytes wait, want at most %d", h.After.queue.Total.Bytes, afterBytes)
	}
}

func TestLargePacketsOfOneGroupLeaveRoomForOthers(t *testing.T) {
	h, _ := newAfterTest(t) // it does not run
	for range 100 {
		h.After.Tell(&Packet{Group: "/flood", Text: strings.Repeat("x", 1<<20)})
	}
	waiting := len(h.After.waiting)
	h.After.Tell(&Packet{Group: "/other", Text: strings.Repeat("x", 1<<20)})
	if len(h.After.waiting) != waiting+1 {
		t.Errorf("with %d large packets of a flood, that of another group is dropped", waiting)
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
		if err == nil && (v.action == 0 || len(v.reason) > maxReason || v.action == rewrite && v.text == "") {
			t.Errorf("%q: %+v", answer, v)
		}
	})
}

func TestTheAuthoritiesOfHooksCanBeChosen(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	p := NewPacket("/room/1", Caller{User: "alice", By: stream.Author{Name: "alice"}}, HTTP, stream.Message, "u", []byte(`{"type":2,"uuid":"u"}`))
	for _, tt := range []struct {
		args []string
		ok   bool
	}{{nil, false}, {[]string{"-hook-ca", authority}, true}} {
		h := newHooks(t, config(append(tt.args, "-hook-before-url", server.URL)...))
		if _, err := h.Before.Review(t.Context(), p, 1000); (err == nil) != tt.ok {
			t.Errorf("with %q: %v", tt.args, err)
		}
	}
	cfg := config("-hook-before-url", server.URL, "-hook-ca", file([]byte("no certificate")))
	if err := cfg.CheckFiles(); err == nil || !strings.Contains(err.Error(), "-hook-ca") {
		t.Errorf("a file without a certificate: %v", err)
	}
}

// TestTheAuthoritiesOfHooksAreReadAgain: a new authority is trusted, and an old one is not
// any more, over no connection.
func TestTheAuthoritiesOfHooksAreReadAgain(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	right := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	another := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, another, another, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	wrong := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	path := filepath.Join(t.TempDir(), "ca.crt")
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(wrong)
	h := newHooks(t, config("-hook-ca", path, "-hook-before-url", server.URL))
	p := NewPacket("/room/1", Caller{User: "alice", By: stream.Author{Name: "alice"}}, HTTP, stream.Message, "u", []byte(`{"type":2,"uuid":"u"}`))
	for i, step := range []struct {
		content []byte
		ok      bool
	}{{wrong, false}, {right, true}, {[]byte("no certificate"), true}, {wrong, false}, {right, true}} {
		write(step.content)
		h.Reload()
		if _, err := h.Before.Review(t.Context(), p, 1000); (err == nil) != step.ok {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

// count returns how many packets are asked about or wait.
func (t *turns) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.Total.Items
}

func TestReviewAllAsksAboutSeveralAtOneTime(t *testing.T) {
	const n = 20
	var asked sync.WaitGroup
	asked.Add(n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked.Done()
		asked.Wait() // for the others: one at a time would time out
		if strings.Contains(string(body), `"uuid":"7"`) {
			_, _ = io.WriteString(w, `{"action":"deny","reason":"seven"}`)
		}
	}))
	t.Cleanup(server.Close)
	b := newHooks(t, config("-hook-before-url", server.URL, "-hook-timeout", "5s")).Before
	var reviews []Review
	for i := range n {
		reviews = append(reviews, Review{NewPacket("/a", Caller{}, HTTP, stream.Message, fmt.Sprint(i), []byte("x")), 1000})
	}
	reviews = append(reviews, Review{}) // which the hook does not see
	for i, v := range b.ReviewAll(t.Context(), reviews) {
		if denied := v.Err != nil; denied != (i == 7) || v.Rewrite != nil {
			t.Errorf("packet %d: %+v", i, v)
		}
	}
	for _, v := range (*Before)(nil).ReviewAll(t.Context(), reviews) {
		if v != (Verdict{}) {
			t.Errorf("without a hook: %+v", v)
		}
	}
}
