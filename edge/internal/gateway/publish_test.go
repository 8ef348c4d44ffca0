package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/console"
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

// Publishing by name is publishing to the path, but for names that are in the wrong place.
func TestPublishByNameIsPublishToThePath(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("anonymous:\n  publish: [/a, //b/*]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, query, body string
		headers           []string
		code              int
	}{
		{"/a", "groupName=/a", data, nil, 200},
		{"/a", "groupName=%2Fa&unknown=1", "text", nil, 200},
		{"//b/%E6%88%BF%20c", "groupName=//b/%E6%88%BF+c", "text", []string{form}, 200},
		{"/a", "groupName=/a", "", nil, 400},
		{"/a", "groupName=/a", "\ufeff{}", []string{"Content-Type: application/json"}, 400},
		{"/a", "groupName=/a", `{"type":1,"command":6,"uuid":"u"}`, nil, 400},
		{"/a", "groupName=/a", strings.Repeat("x", 1001), nil, 413},
		{"/a", "groupName=/a", "x", []string{"Content-Encoding: gzip"}, 415},
		{"/not/allowed", "groupName=/not/allowed", "x", nil, 401},
		{"/", "groupName=/", "x", nil, 403},
		{"/timer", "groupName=/timer", "x", nil, 403},
	} {
		rig := newRigFor(t, Options{}, access.Config{PolicyFile: policy})
		byPath := rig.do("POST", tt.path, tt.body, tt.headers...)
		byName := rig.do("POST", "/__/publish?"+tt.query, tt.body, tt.headers...)
		if byName.code != tt.code || byName.code != byPath.code || byName.body != byPath.body {
			t.Errorf("%s: got %d %s, want %d, as for the path: %d %s", tt.query, byName.code, byName.body, tt.code, byPath.code, byPath.body)
		}
		if tt.code == 200 && len(rig.published) == 2 && (rig.published[0].Group != rig.published[1].Group || string(rig.published[1].Payload) != tt.body) {
			t.Errorf("%s: published %+v, want as for the path: %+v", tt.query, rig.published[1], rig.published[0])
		}
	}
}

func TestPublishByNameWantsTheNameInTheQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                            "groupName: missing",
		"?groupName=":                 "groupName: missing",
		"?groupName=room":             "groupName: ",
		"?groupName=/__/history":      "groupName: ",
		"?groupName=/a%00":            "groupName: ",
		"?groupName=/a&groupName=/a":  "groupName: given more than once",
		"?groupName=/a&uuid=u":        "uuid: not a parameter",
		"?groupName=%zz":              "percent-encoding",
		"?groupname=/a&group_name=/a": "groupName: missing",
	} {
		rig := newRig(t, Options{})
		got := rig.do("POST", "/__/publish"+query, "groupName=/b", form)
		wantError(t, query, got, 400)
		if !strings.Contains(got.body, want) || len(rig.published) > 0 {
			t.Errorf("%s: got %s, want %q and nothing published (%d)", query, got.body, want, len(rig.published))
		}
	}
}

func TestJSONIsWholeAndUTF8WithoutAMark(t *testing.T) {
	utf16 := func(s string) string { return "\xff\xfe" + strings.Join(strings.Split(s, ""), "\x00") + "\x00" }
	for name, body := range map[string]string{
		"a byte order mark":            "\ufeff" + data,
		"UTF-16":                       utf16(data),
		"UTF-16 without a mark":        utf16(data)[2:],
		"UTF-16, big-endian":           "\x00" + utf16(data)[2:len(utf16(data))-1],
		"a mark of UTF-16, big-endian": "\xfe\xff\x00{",
		"UTF-32, big-endian":           "\x00\x00\x00{\x00\x00\x00}",
		"GBK":                          "{\"type\":2,\"body\":{\"data\":\"\xb7\xbf\"}}",
		"an object that is cut off":    data[:len(data)-1],
		"one cut off in a string":      data[:12],
		"one of which is a brace":      " {",
		"an array that is cut off":     "[1,[2]",
	} {
		for contentType, code := range map[string]int{
			"application/json":                 400,
			"Application/JSON; charset=utf-16": 400,
			"text/json":                        400,
			"application/ld+json":              400,
			"text/plain":                       200,
			"application/octet-stream":         200,
		} {
			rig := newRig(t, Options{})
			if got := rig.do("POST", "/a", body, "Content-Type: "+contentType); got.code != code || (code == 200) != (len(rig.published) == 1) {
				t.Errorf("%s as %s: got %d %s, want %d", name, contentType, got.code, got.body, code)
			}
		}
	}
	for _, body := range []string{
		data, data + "\n", "hello", " ", "房", "n", `"cut off`, "{hello", `{"a":1,}`, `{"a":1} {`, "[1}", `{"type":2}[`,
	} { // other texts are what they always were
		rig := newRig(t, Options{})
		if got := rig.do("POST", "/a", body, "Content-Type: application/json"); got.code != 200 {
			t.Errorf("%s as JSON: got %d %s, want 200", body, got.code, got.body)
		}
	}
}

func TestCompressedBodyIsRefused(t *testing.T) {
	for encoding, code := range map[string]int{
		"gzip": 415, "GZip": 415, "br": 415, "deflate, gzip": 415, "identity, gzip": 415, "unknown": 415,
		"identity": 200, "Identity": 200, "": 200, "identity, identity": 200,
	} {
		rig := newRig(t, Options{})
		for _, target := range []string{"/a", "/__/publish?groupName=/a", "/__/history?groupName=/a", "/__/cancel?groupName=/a&uuid=u"} {
			got := rig.do("POST", target, "groupName=/a", "Content-Encoding: "+encoding)
			if code == 415 {
				wantError(t, target+" "+encoding, got, code)
			}
			if (got.code == 415) != (code == 415) || code == 415 && got.header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s %q: got %d %s, Accept-Encoding %q, want %d", target, encoding, got.code, got.body, got.header.Get("Accept-Encoding"), code)
			}
		}
		if code == 415 && len(rig.published) > 0 {
			t.Errorf("%q: it was published", encoding)
		}
	}
}

func TestWhoPublishesToTheLobbyIsToldThatThePathIsTheGroup(t *testing.T) {
	if got := newRig(t, Options{}).do("POST", "/", "x"); !strings.Contains(got.body, "the path names the group") {
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
		result relay.Result
		code   int
		body   string
	}{
		{relay.Result{Outcome: relay.Accepted}, 200, `{"code":200,"group":"/a","stored":false,"uuid":"u1","duplicate":false}`},
		{relay.Result{Outcome: relay.Duplicate, Seq: 7}, 200, `{"code":200,"group":"/a","stored":true,"uuid":"u1","duplicate":true}`},
		{relay.Result{Outcome: relay.Invalid, Reason: "no"}, 400, `{"code":400,"msg":"no"}`},
		{relay.Result{Outcome: relay.Busy, Reason: "slow down"}, 429, `{"code":429,"msg":"slow down"}`},
		{relay.Result{Outcome: relay.Unavailable, Reason: "dial tcp 10.0.0.1"}, 503, `{"code":503,"msg":"the store cannot be reached; nothing was done, try again"}`},
		{relay.Result{Outcome: relay.Unchecked, Reason: "the message cannot be checked now"}, 503, `{"code":503,"msg":"the message cannot be checked now; nothing was done, try again"}`},
		{relay.Result{Outcome: relay.Unknown}, 504, `{"code":504,"msg":"no answer in time; the outcome is unknown, try again with the same uuid"}`},
		{relay.Result{}, 500, `{"code":500,"msg":"the server made a mistake"}`},
	} {
		rig := newRig(t, Options{})
		rig.result = tt.result
		got := rig.do("POST", "/a", data)
		if got.code != tt.code || got.body != tt.body {
			t.Errorf("%+v: got %d %s, want %d %s", tt.result, got.code, got.body, tt.code, tt.body)
		}
		if retry := got.header.Get("Retry-After"); (retry != "") != (tt.code == 429 || tt.code == 503) {
			t.Errorf("%+v: got Retry-After %q", tt.result, retry)
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

// accepting is a Publisher that accepts everything.
type accepting struct{}

func (accepting) Publish(batch ...*relay.Publication) {
	for _, p := range batch {
		p.End(relay.Result{Outcome: relay.Accepted})
	}
}

// onConnection is a recorder that takes deadlines, as connections do: refusing them
// costs more than setting them.
type onConnection struct{ httptest.ResponseRecorder }

func (*onConnection) SetReadDeadline(time.Time) error { return nil }

// BenchmarkPublish measures what the Handler does beside net/http and the relay.
func BenchmarkPublish(b *testing.B) {
	pages, err := console.New("", func() console.Figures { return console.Figures{} })
	if err != nil {
		b.Fatal(err)
	}
	h, err := New(b.Context(), Backends{
		Publisher: accepting{},
		History:   NewForwarder(nil),
		Console:   pages,
		Callers:   newCallers(b, access.Config{}),
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
		r.Body = io.NopCloser(body) // the Handler replaces it
		w := onConnection{}
		h.ServeHTTP(&w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("got %d", w.Code)
		}
	}
}

// silent is a Publisher whose publications have no result yet.
type silent struct{}

func (silent) Publish(...*relay.Publication) {}

func TestAClientThatLeavesBeforeTheResultHasNoSuccess(t *testing.T) {
	rig := newRig(t, Options{})
	rig.handler.(*Handler).backends.Publisher = silent{}
	gone, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	rig.handler.ServeHTTP(w, httptest.NewRequestWithContext(gone, "POST", "/a", strings.NewReader("hello")))
	if w.Code != clientGone {
		t.Errorf("%d, want %d", w.Code, clientGone)
	}
}
