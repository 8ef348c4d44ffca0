package gateway

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// versioned serves a page whose version the test sets.
func versioned(version *string, asked *int) func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	return func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		*asked++
		if *version != "" && r.GetIfNoneMatch() == *version {
			return &historyv1.GetHistoryResponse{Code: 200, Position: r.GetPosition(), Etag: *version, NotModified: true}, nil
		}
		return &historyv1.GetHistoryResponse{Code: 200, Position: r.GetPosition(), Etag: *version, Data: []string{"text of " + *version}}, nil
	}
}

const (
	pageTarget = "/__/history?groupName=/a&position=0"
	pageV1     = `{"code":200,"position":0,"msg":"","data":["text of v1"]}`
)

func TestAPageThatTheClientHasIsNotSentAgain(t *testing.T) {
	for name, cache := range map[string]int{"with a cache": 1 << 20, "without": 0} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, Options{PageCache: cache})
			version, asked := "v1", 0
			rig.history.page = versioned(&version, &asked)
			for i, tt := range []struct {
				method, header string
				code           int
				body           string
			}{
				{"GET", "", 200, pageV1},
				{"POST", "", 200, pageV1},
				{"HEAD", "", 200, ""},
				{"GET", `W/"v1"`, 304, ""},
				{"GET", `"v0", "v1"`, 304, ""},
				{"GET", "*", 304, ""},
				{"HEAD", `W/"v1"`, 304, ""},
				{"GET", `"v0"`, 200, pageV1},
				{"GET", "v1", 200, pageV1},
				{"POST", `"v1"`, 200, pageV1},
				{"POST", "*", 200, pageV1},
			} {
				var headers []string
				if tt.header != "" {
					headers = append(headers, "If-None-Match: "+tt.header)
				}
				got := rig.do(tt.method, pageTarget, "", headers...)
				what := tt.method + " " + tt.header
				if got.code != tt.code || got.body != tt.body {
					t.Errorf("%s: got %d %s, want %d %s", what, got.code, got.body, tt.code, tt.body)
				}
				if got.header.Get("Etag") != `W/"v1"` || got.header.Get("Cache-Control") != "no-cache" {
					t.Errorf("%s: got ETag %s, Cache-Control %s", what, got.header.Get("Etag"), got.header.Get("Cache-Control"))
				}
				if sent := got.header.Get("Content-Type"); (sent == httpjson.ContentType) != (tt.code == 200) {
					t.Errorf("%s: got Content-Type %q", what, sent)
				}
				if asked != i+1 {
					t.Fatalf("%s: the history service was asked %d times, want %d", what, asked, i+1)
				}
			}
			version = "v2"
			got := rig.do("GET", pageTarget, "", `If-None-Match: W/"v1"`)
			if got.code != 200 || !strings.Contains(got.body, "text of v2") || got.header.Get("Etag") != `W/"v2"` {
				t.Errorf("after a change: got %d %s, ETag %s", got.code, got.body, got.header.Get("Etag"))
			}
		})
	}
}

// TestPagesWithMetaAreOfTheirOwn: what is kept of one is not sent as the other.
func TestPagesWithMetaAreOfTheirOwn(t *testing.T) {
	for name, cache := range map[string]int{"with a cache": 1 << 20, "without": 0} {
		t.Run(name, func(t *testing.T) {
			rig := newRig(t, Options{PageCache: cache})
			rig.history.page = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
				page := &historyv1.GetHistoryResponse{Code: 200, Etag: "plain", Data: []string{"a"}}
				if r.GetMeta() {
					page.Etag, page.StreamPosition, page.Meta = "meta", "POS", []*historyv1.MessageMeta{{Seq: 1, At: 5}}
				}
				if page.GetEtag() == r.GetIfNoneMatch() {
					return &historyv1.GetHistoryResponse{Code: 200, Etag: page.GetEtag(), NotModified: true}, nil
				}
				return page, nil
			}
			const plain, meta = `{"code":200,"position":0,"msg":"","data":["a"]}`, `{"code":200,"position":0,"msg":"","data":["a"],"meta":[{"seq":1,"at":5}],"pos":"POS"}`
			for range 2 {
				for _, tt := range []struct{ query, header, body, tag string }{
					{"", "", plain, "plain"},
					{"&meta=1", "", meta, "meta"},
					{"&meta=0", "", plain, "plain"},
					{"&meta=1", `If-None-Match: W/"plain"`, meta, "meta"},
					{"&meta=1", `If-None-Match: W/"meta"`, "", "meta"},
					{"", `If-None-Match: W/"meta"`, plain, "plain"},
				} {
					var headers []string
					if tt.header != "" {
						headers = append(headers, tt.header)
					}
					got := rig.do("GET", "/__/history?groupName=/a"+tt.query, "", headers...)
					if got.body != tt.body || got.header.Get("Etag") != `W/"`+tt.tag+`"` {
						t.Errorf("%s, %s: got %s, ETag %s", tt.query, tt.header, got.body, got.header.Get("Etag"))
					}
				}
			}
			for _, query := range []string{"&meta=2", "&meta=true", "&meta=1&meta=1"} {
				got := rig.do("GET", "/__/history?groupName=/a"+query, "")
				wantError(t, query, got, 400)
				if !strings.Contains(got.body, "meta: ") {
					t.Errorf("%s: got %s", query, got.body)
				}
			}
		})
	}
}

func TestAPageAfterAMessage(t *testing.T) {
	rig := newRig(t, Options{})
	rig.history.page = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200, Data: []string{"after " + r.GetAfter()}}, nil
	}
	for _, query := range []string{"after=u", "after=u&position=0&size=5"} {
		if got := rig.do("POST", "/__/history", "groupName=/a&"+query, form); !strings.Contains(got.body, `["after u"]`) {
			t.Errorf("%s: got %d %s", query, got.code, got.body)
		}
	}
	wantError(t, "twice", rig.do("GET", "/__/history?groupName=/a&after=u&after=v", ""), 400)
	wantError(t, "no UTF-8", rig.do("GET", "/__/history?groupName=/a&after=%FF", ""), 400)
}

func TestAPageWithoutVersionHasNoETag(t *testing.T) {
	rig := newRig(t, Options{PageCache: 1 << 20})
	version, asked := "", 0
	rig.history.page = versioned(&version, &asked)
	for range 2 {
		got := rig.do("GET", pageTarget, "", `If-None-Match: W/"v1"`)
		if _, tagged := got.header["Etag"]; got.code != 200 || got.body == "" || tagged || got.header.Get("Cache-Control") != "no-cache" {
			t.Errorf("got %d %s, header %v", got.code, got.body, got.header)
		}
	}
}

func TestPagesOfOtherOriginsMayReadTheETag(t *testing.T) {
	rig := newRig(t, Options{AllowedOrigins: []string{"*"}})
	version, asked := "v1", 0
	rig.history.page = versioned(&version, &asked)
	for _, header := range []string{`"v0"`, `"v1"`} {
		got := rig.do("GET", pageTarget, "", "Origin: https://example.com", "If-None-Match: "+header)
		if exposed := got.header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "Etag") {
			t.Errorf("%s: exposed is %q", header, exposed)
		}
	}
	got := rig.do("OPTIONS", pageTarget, "", "Origin: https://example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: if-none-match")
	if allowed := got.header.Get("Access-Control-Allow-Headers"); !strings.EqualFold(allowed, "if-none-match") {
		t.Errorf("allowed headers are %q", allowed)
	}
}

// TestPagesOfWhoIsKnownArePrivate: a cache between us and many users must not
// hand them on unasked.
func TestPagesOfWhoIsKnownArePrivate(t *testing.T) {
	dir := t.TempDir()
	key, entry := access.NewAPIKey("backend")
	keys, policy := filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "policy.yaml")
	for path, text := range map[string]string{keys: entry, policy: "anonymous:\n  read: [/room/a]\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rig := newRigFor(t, Options{PageCache: 1 << 20}, access.Config{APIKeysFile: keys, PolicyFile: policy})
	version, asked := "v1", 0
	rig.history.page = versioned(&version, &asked)
	const open, closed = "/__/history?groupName=/room/a", "/__/history?groupName=/room/b"
	type row struct {
		Code         int
		CacheControl string
	}
	for _, tt := range []struct {
		target  string
		headers []string
		want    row
	}{
		{open, nil, row{200, "no-cache"}},
		{open, []string{"X-API-Key: " + key}, row{200, "private, no-cache"}},
		{open, []string{"X-API-Key: " + key, `If-None-Match: "v1"`}, row{304, "private, no-cache"}},
		{closed, []string{"X-API-Key: " + key}, row{200, "private, no-cache"}},
		// What the edge keeps is not for those who may not read it.
		{closed, nil, row{401, "no-store"}},
		{closed, []string{`If-None-Match: "v1"`}, row{401, "no-store"}},
	} {
		got := rig.do("GET", tt.target, "", tt.headers...)
		if diff := cmp.Diff(tt.want, row{got.code, got.header.Get("Cache-Control")}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.target, diff)
		}
	}
}
