package gateway

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/access"
)

const wantsEvents = "Accept: text/event-stream"

func TestStreamsAndPollsAreRecognized(t *testing.T) {
	for name, tt := range map[string]struct {
		method, target, body string
		headers              []string
		want                 int
		streamed             string
	}{
		"stream":                       {"GET", "/a", "", []string{wantsEvents}, 200, `/a "" {0 false}`},
		"one of several types":         {"GET", "/a", "", []string{"Accept: application/json, text/event-stream;q=0.5"}, 200, `/a "" {0 false}`},
		"from and last":                {"GET", "/a?from=p&last=5", "", []string{wantsEvents}, 200, `/a "p" {5 true}`},
		"Last-Event-ID beats from":     {"GET", "/a?from=p", "", []string{wantsEvents, "Last-Event-ID: q"}, 200, `/a "q" {0 false}`},
		"other parameters are ignored": {"GET", "/a?token=x", "", []string{wantsEvents}, 200, `/a "" {0 false}`},
		"from twice":                   {"GET", "/a?from=p&from=q", "", []string{wantsEvents}, 400, ""},
		"last too large":               {"GET", "/a?last=1001", "", []string{wantsEvents}, 400, ""},
		"a query that is broken":       {"GET", "/a?from=%zz", "", []string{wantsEvents}, 400, ""},
		"a page goes before":           {"GET", "/a", "", []string{"Accept: text/html, text/event-stream"}, 200, ""},
		"any type":                     {"GET", "/a", "", []string{"Accept: */*"}, 426, ""},
		"an upgrade that is none":      {"GET", "/a", "", []string{wantsEvents, "Upgrade: x"}, 426, ""},
		"HEAD":                         {"HEAD", "/a", "", []string{wantsEvents}, 426, ""},
		"POST publishes":               {"POST", "/a", "x", []string{wantsEvents}, 200, ""},
		"many groups":                  {"POST", "/__/events", "lines", nil, 200, "lines"},
		"compressed":                   {"POST", "/__/events", "lines", []string{"Content-Encoding: gzip"}, 415, ""},
		"long poll":                    {"GET", "/__/events/?groupName=/a", "", nil, 200, `/a "" 0s`},
		"with from and wait":           {"GET", "/__/events?groupName=/a&from=p&wait=50", "", []string{wantsEvents}, 200, `/a "p" 50s`},
		"no group":                     {"GET", "/__/events?wait=1", "", nil, 400, ""},
		"the clock":                    {"GET", "/__/events?groupName=/timer", "", nil, 400, ""},
		"too long":                     {"GET", "/__/events?groupName=/a&wait=51", "", nil, 400, ""},
		"negative":                     {"GET", "/__/events?groupName=/a&wait=-1", "", nil, 400, ""},
		"another endpoint's parameter": {"GET", "/__/events?groupName=/a&after=u", "", nil, 400, ""},
		"DELETE":                       {"DELETE", "/__/events", "", nil, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, Options{AllowedOrigins: []string{"*"}})
			got := rig.do(tt.method, tt.target, tt.body, append(tt.headers, "Origin: https://other.example")...)
			if got.code != tt.want {
				t.Errorf("status %d %s, want %d", got.code, got.body, tt.want)
			}
			if diff := cmp.Diff(tt.streamed, strings.Join(rig.streamed, ";")); diff != "" {
				t.Errorf("streamed (-want +got):\n%s", diff)
			}
			if tt.streamed != "" && got.header.Get("Access-Control-Allow-Origin") == "" {
				t.Error("pages of other origins may not read the answer")
			}
		})
	}
}

// Streams and other requests have places of their own.
func TestStreamsAreBoundedApartFromRequests(t *testing.T) {
	rig := newRig(t, Options{MaxRequests: 1, MaxStreams: 1})
	h, _ := rig.handler.(*Handler)
	if !h.requests.TryAcquire() {
		t.Fatal("no place for a request")
	}
	if got := rig.do("GET", "/a", "", wantsEvents); len(rig.streamed) != 1 {
		t.Errorf("a stream got %d %s while a request is under way", got.code, got.body)
	}
	h.requests.Release()
	if !h.streams.TryAcquire() {
		t.Fatal("no place for a stream")
	}
	if got := rig.do("POST", "/a", "x"); got.code != http.StatusOK {
		t.Errorf("a publish got %d while a stream is under way", got.code)
	}
	got := rig.do("GET", "/a", "", wantsEvents)
	if got.code != http.StatusOK || !strings.HasPrefix(got.body, "retry: ") || !strings.Contains(got.body, "event: error\ndata: {\"on\":\"error\",\"code\":503,") {
		t.Errorf("a stream too many got %d %q, want an event with code 503", got.code, got.body)
	}
	for method, target := range map[string]string{"GET": "/__/events?groupName=/a", "POST": "/__/events"} {
		if got := rig.do(method, target, ""); got.code != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d, want 503", method, target, got.code)
		}
	}
	if len(rig.streamed) != 1 {
		t.Errorf("streamed %v, want one", rig.streamed)
	}
}

func TestStreamsNeedACaller(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{}, access.Config{SecretFile: secret})
	if got := rig.do("POST", "/__/events", "lines"); got.code != http.StatusUnauthorized || len(rig.streamed) > 0 {
		t.Errorf("a caller without any right got %d and %v, want 401", got.code, rig.streamed)
	}
	if got := rig.do("GET", "/a", "", wantsEvents, "Authorization: Bearer nonsense"); got.code != http.StatusUnauthorized {
		t.Errorf("a broken token got %d, want 401", got.code)
	}
}
