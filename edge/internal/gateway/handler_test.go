package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestStatusAnswersEveryMethod(t *testing.T) {
	rig := newRig(t, Options{})
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"} {
		want := "status ok!"
		if method == "HEAD" {
			want = ""
		}
		if got := rig.do(method, "/__status", ""); got.code != 200 || got.body != want {
			t.Errorf("%s: got %d %q", method, got.code, got.body)
		}
	}
}

func TestUpgradesAreHandedOn(t *testing.T) {
	rig := newRig(t, Options{})
	for _, tt := range []struct {
		target  string
		headers []string
		code    int
	}{
		{"/a//b?after=u", []string{"Connection: Upgrade", "Upgrade: websocket"}, 418},
		{"/b", []string{"Connection: keep-alive, upgrade", "Upgrade: WebSocket"}, 418},
		{"/", []string{"Connection: Upgrade", "Upgrade: websocket"}, 418},
		{"/timer", []string{"Connection: Upgrade", "Upgrade: websocket"}, 418},
		{"/a{", []string{"Connection: Upgrade", "Upgrade: websocket"}, 400},
		{"/__/x", []string{"Connection: Upgrade", "Upgrade: websocket"}, 404},
		{"/a", []string{"Upgrade: websocket"}, 426},
		{"/a", []string{"Connection: Upgrade", "Upgrade: h2c"}, 426},
		{"/a", nil, 426},
	} {
		got := rig.do("GET", tt.target, "", tt.headers...)
		if got.code != tt.code {
			t.Errorf("GET %s with %q: got %d %s, want %d", tt.target, tt.headers, got.code, got.body, tt.code)
		}
	}
	if diff := cmp.Diff([]group.Name{"/a//b", "/b", "/", "/timer"}, rig.upgraded); diff != "" {
		t.Errorf("upgraded groups, -want +got:\n%s", diff)
	}
}

func TestMethods(t *testing.T) {
	rig := newRig(t, Options{AdminSecret: "s"})
	for _, tt := range []struct {
		method, target string
		code           int
		allow          string
	}{
		{"PUT", "/a", 405, "GET, HEAD, POST, OPTIONS"},
		{"DELETE", "/a", 405, "GET, HEAD, POST, OPTIONS"},
		{"OPTIONS", "/a", 204, "GET, HEAD, POST, OPTIONS"},
		{"PUT", "/a{", 400, ""},
		{"HEAD", "/a", 426, ""},
		{"PUT", "/__/history", 405, "GET, HEAD, POST, OPTIONS"},
		{"GET", "/__/cancel", 405, "POST, OPTIONS"},
		{"GET", "/__/cancel/", 405, "POST, OPTIONS"},
		{"GET", "/__/ttl", 405, "POST, OPTIONS"},
		{"POST", "/__/groups", 405, "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/__/groups", 204, "GET, HEAD, OPTIONS"},
		{"POST", "/__/", 404, ""},
		{"POST", "/__/history/x", 404, ""},
		{"POST", "/__/history//", 404, ""},
		{"GET", "/__/publish", 404, ""},
	} {
		got := rig.do(tt.method, tt.target, "")
		if allow := got.header.Get("Allow"); got.code != tt.code || allow != tt.allow {
			t.Errorf("%s %s: got %d, Allow %q, want %d, %q", tt.method, tt.target, got.code, allow, tt.code, tt.allow)
		}
		if tt.code >= 400 && tt.method != "HEAD" {
			wantError(t, tt.method+" "+tt.target, got, tt.code)
		}
	}
}

func TestCORS(t *testing.T) {
	preflight := []string{"Origin: http://a.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"}
	for _, tt := range []struct {
		name    string
		origins []string
		method  string
		target  string
		headers []string
		code    int
		allow   string
	}{
		{"any origin publishes", []string{"*"}, "POST", "/a", []string{"Origin: http://a.example"}, 200, "*"},
		{"preflight of a publish", []string{"*"}, "OPTIONS", "/a", preflight, 204, "*"},
		{"preflight of history", []string{"*"}, "OPTIONS", "/__/history", preflight, 204, "*"},
		{"an error can be read too", []string{"*"}, "POST", "/timer", []string{"Origin: http://a.example"}, 403, "*"},
		{"a listed origin", []string{"http://a.example"}, "POST", "/a", []string{"Origin: http://a.example"}, 200, "http://a.example"},
		{"another origin", []string{"http://b.example"}, "POST", "/a", []string{"Origin: http://a.example"}, 200, ""},
		{"preflight of another origin", []string{"http://b.example"}, "OPTIONS", "/a", preflight, 204, ""},
		{"no origins", nil, "POST", "/a", []string{"Origin: http://a.example"}, 200, ""},
		{"a pattern", []string{"http://*.example"}, "POST", "/a", []string{"Origin: http://a.example"}, 200, "http://a.example"},
		{"admin endpoints are not for pages", []string{"*"}, "OPTIONS", "/__/groups", preflight, 204, ""},
	} {
		rig := newRig(t, Options{AllowedOrigins: tt.origins})
		body := ""
		if tt.method == "POST" {
			body = "x"
		}
		got := rig.do(tt.method, tt.target, body, tt.headers...)
		if allow := got.header.Get("Access-Control-Allow-Origin"); got.code != tt.code || allow != tt.allow {
			t.Errorf("%s: got %d, allowed origin %q, want %d, %q", tt.name, got.code, allow, tt.code, tt.allow)
		}
		if got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials are allowed", tt.name)
		}
		if vary := got.header.Values("Vary"); tt.target == "/a" && len(vary) != 1 {
			t.Errorf("%s: got Vary %q, want it once", tt.name, vary)
		}
	}
}
