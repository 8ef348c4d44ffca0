package gateway

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const data = `{"type":2,"uuid":"u1","body":{"data":"x"}}`

func TestPublish(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		headers    []string
		kind       stream.Kind
		uuid       string
		want       string
	}{
		{"data", data, nil, stream.Message, "u1", `{"code":200,"group":"/room/","stored":true,"uuid":"u1","duplicate":false}`},
		{"data as curl -d sends it", data, []string{form}, stream.Message, "u1", `{"code":200,"group":"/room/","stored":true,"uuid":"u1","duplicate":false}`},
		{"data without uuid", `{"type":2}`, nil, stream.Message, "", `{"code":200,"group":"/room/","stored":true,"uuid":"","duplicate":false}`},
		{"text", "hello", nil, stream.Text, "", `{"code":200,"group":"/room/","stored":false}`},
		{"text that looks like a form", "a=%zz&a", []string{form}, stream.Text, "", `{"code":200,"group":"/room/","stored":false}`},
		{"binary", "\xff\x00", nil, stream.Binary, "", `{"code":200,"group":"/room/","stored":false}`},
		{"receipt", `{"type":1,"command":3,"uuid":"u"}`, nil, stream.Text, "", `{"code":200,"group":"/room/","stored":false}`},
		{"with a broken content type", "x", []string{"Content-Type: ;;"}, stream.Text, "", `{"code":200,"group":"/room/","stored":false}`},
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", "/room/", tt.body, tt.headers...)
		if got.code != 200 || got.body != tt.want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %s (%s), want 200 %s", tt.name, got.code, got.body, got.header.Get("Content-Type"), tt.want)
			continue
		}
		p := rig.published[0]
		if p.Group != "/room/" || p.Kind != tt.kind || p.UUID != tt.uuid || string(p.Payload) != tt.body || p.Session != 0 || p.Number != 1 {
			t.Errorf("%s: published %+v", tt.name, p)
		}
	}
}

func TestPublishInChunksIsOnePacket(t *testing.T) {
	rig := newRig(t, Options{})
	got := rig.raw("POST", "POST /a HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
	if got.code != 200 || string(rig.published[0].Payload) != "hello" {
		t.Errorf("got %d %s", got.code, got.body)
	}
}

func TestPublicationsOverHTTPAreNumbered(t *testing.T) {
	rig := newRig(t, Options{})
	rig.do("POST", "/a", "1")
	rig.do("POST", "/b", "2")
	if a, b := rig.published[0].ID(), rig.published[1].ID(); a != 1 || b != 2 {
		t.Errorf("got ids %d and %d, want 1 and 2", a, b)
	}
}

func TestGroupIsTheExactPath(t *testing.T) {
	for target, want := range map[string]group.Name{
		"/room/1":            "/room/1",
		"/room/1/":           "/room/1/",
		"/Room":              "/Room",
		"//a//b/":            "//a//b/",
		"/a/./b/../c":        "/a/./b/../c",
		"/a:b":               "/a:b",
		"/a%2Fb%20c":         "/a/b c",
		"/%E6%88%BF":         "/房",
		"/a?group=/b&x":      "/a",
		"/a;b=c":             "/a;b=c",
		"/%252F":             "/%2F",
		"/__statusx":         "/__statusx",
		"/__":                "/__",
		"http://edge//a/b/x": "//a/b/x",
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", target, "x")
		if got.code != 200 || rig.published[0].Group != want {
			t.Errorf("POST %s: got %d %s, want group %q", target, got.code, got.body, want)
		}
	}
}

func TestPublishRefusals(t *testing.T) {
	large := strings.Repeat("x", 1001)
	for _, tt := range []struct {
		name, target, body string
		code               int
	}{
		{"empty", "/a", "", 400},
		{"too large", "/a", large, 413},
		{"ping", "/a", `{"type":1,"command":5,"uuid":"u"}`, 400},
		{"query", "/a", `{"type":1,"command":2,"uuid":"u"}`, 400},
		{"forged ack", "/a", `{"type":1,"command":1,"uuid":"u"}`, 400},
		{"forged ack for other parsers", "/a", `{"type":1.0,"command":1,"uuid":"u"}`, 400},
		{"bad uuid", "/a", `{"type":2,"uuid":"a\nb"}`, 400},
		{"lobby", "/", "x", 403},
		{"timer", "/timer", "x", 403},
		{"brace", "/a{b", "x", 400},
		{"control character", "/a%00", "x", 400},
		{"invalid UTF-8", "/%FF", "x", 400},
		{"too long a name", "/" + strings.Repeat("a", 512), "x", 400},
		{"reserved", "/__/x", "x", 404},
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", tt.target, tt.body)
		wantError(t, tt.name, got, tt.code)
		if len(rig.published) != 0 {
			t.Errorf("%s: it was published", tt.name)
		}
	}
}

func TestWhoPublishesToTheLobbyIsToldThatThePathIsTheGroup(t *testing.T) {
	if got := newRig(t, Options{}).do("POST", "/", "x"); !strings.Contains(got.body, "the path is the group") {
		t.Errorf("got %d %s", got.code, got.body)
	}
}

func TestTooLargeInChunksIsRefused(t *testing.T) {
	rig := newRig(t, Options{MaxMessageBytes: 4})
	got := rig.raw("POST", "POST /a HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	wantError(t, "chunked", got, 413)
}

func TestLargestBodyIsPublished(t *testing.T) {
	rig := newRig(t, Options{MaxMessageBytes: 5})
	if got := rig.do("POST", "/a", "hello"); got.code != 200 {
		t.Errorf("got %d %s", got.code, got.body)
	}
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		receipt relay.Receipt
		code    int
		body    string
	}{
		{relay.Receipt{Outcome: relay.Duplicate}, 200, `{"code":200,"group":"/a","stored":true,"uuid":"u1","duplicate":true}`},
		{relay.Receipt{Outcome: relay.Invalid, Reason: "no"}, 400, `{"code":400,"msg":"no"}`},
		{relay.Receipt{Outcome: relay.Busy, Reason: "slow down"}, 429, `{"code":429,"msg":"slow down"}`},
		{relay.Receipt{Outcome: relay.Unavailable, Reason: "dial tcp 10.0.0.1"}, 503, `{"code":503,"msg":"the store cannot be reached; nothing was done, try again"}`},
		{relay.Receipt{Outcome: relay.Unknown}, 504, `{"code":504,"msg":"no answer in time; the outcome is unknown, try again with the same uuid"}`},
		{relay.Receipt{}, 500, `{"code":500,"msg":"the server made a mistake"}`},
	} {
		rig := newRig(t, Options{})
		rig.receipt = tt.receipt
		got := rig.do("POST", "/a", data)
		if got.code != tt.code || got.body != tt.body {
			t.Errorf("%+v: got %d %s, want %d %s", tt.receipt, got.code, got.body, tt.code, tt.body)
		}
		if retry := got.header.Get("Retry-After"); (retry != "") != (tt.code == 429 || tt.code == 503) {
			t.Errorf("%+v: got Retry-After %q", tt.receipt, retry)
		}
	}
}

// wantError checks the shape that all errors have.
func wantError(t *testing.T, name string, got answer, code int) {
	t.Helper()
	var body struct {
		Code int
		Msg  string
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Errorf("%s: the body is not JSON: %q", name, got.body)
		return
	}
	if got.code != code || body.Code != code || body.Msg == "" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: got %d (%s) %s, want an error %d", name, got.code, got.header.Get("Content-Type"), got.body, code)
	}
}

// BenchmarkPublish measures what the Handler does beside net/http and the relay.
func BenchmarkPublish(b *testing.B) {
	h, err := New(b.Context(), Backends{
		Publish: func(p *relay.Publication) { p.Done(relay.Receipt{Outcome: relay.Accepted}) },
		History: NewForwarder(nil),
	}, Options{MaxMessageBytes: 1000, AllowedOrigins: []string{"*"}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	body := strings.NewReader("")
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/room/9527/", body)
	r.ContentLength = int64(len(data))
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(data)
		w := httptest.ResponseRecorder{}
		h.ServeHTTP(&w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("got %d", w.Code)
		}
	}
}
