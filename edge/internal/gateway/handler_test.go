package gateway

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/access"
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
		// "/房间/", "/room/房间" and "/房/1" of clients that write "?" for what they cannot.
		{"/??/", []string{"Connection: Upgrade", "Upgrade: websocket"}, 400},
		{"/room/??", []string{"Connection: Upgrade", "Upgrade: websocket"}, 400},
		{"/?/1", []string{"Connection: Upgrade", "Upgrade: websocket"}, 400},
		{"/room/??", nil, 400},
		{"/b?x=/&y=?", []string{"Connection: Upgrade", "Upgrade: websocket"}, 418},
		{"/b?", []string{"Connection: Upgrade", "Upgrade: websocket"}, 418},
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
	if diff := cmp.Diff([]group.Name{"/a//b", "/b", "/", "/timer", "/b", "/b"}, rig.upgraded); diff != "" {
		t.Errorf("upgraded groups, -want +got:\n%s", diff)
	}
}

// A person who calls the address with curl learns its purpose.
func TestGetSaysWhatToDoWithAGroup(t *testing.T) {
	rig := newRig(t, Options{})
	for target, want := range map[string]string{
		"/":     "this is a group: open it in a browser, or join it with a WebSocket client",
		"/room": "this is a group: open it in a browser, or join it with a WebSocket client; POST publishes to it",
	} {
		if got := rig.do("GET", target, ""); got.code != 426 || got.body != `{"code":426,"msg":"`+want+`"}` {
			t.Errorf("GET %s: got %d %s, want 426 %q", target, got.code, got.body, want)
		}
	}
}

// TestGetTellsWhyAnUpgradeIsRefused: browsers do not show that answer to their pages.
func TestGetTellsWhyAnUpgradeIsRefused(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte("anonymous:\n  join: [/room/a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rig := newRigFor(t, Options{}, access.Config{PolicyFile: policy})
	for _, tt := range []struct {
		target  string
		headers []string
		code    int
	}{
		{"/room/a", nil, 426},
		{"/room/a", []string{"Authorization: Bearer wrong"}, 401},
		{"/room/b", nil, 401},
		{"/room/b", []string{"Accept: text/html"}, 200}, // the page asks for a token
	} {
		got := rig.do("GET", tt.target, "", tt.headers...)
		if got.code != tt.code {
			t.Errorf("GET %s with %q: got %d %s, want %d", tt.target, tt.headers, got.code, got.body, tt.code)
		}
	}
}

func TestMethods(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
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
		{"GET", "/__/publish", 405, "POST, OPTIONS"},
		{"GET", "/__/publishes", 404, ""},
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

func TestBrowsersGetPages(t *testing.T) {
	const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	rig := newRig(t, Options{})
	for _, tt := range []struct {
		method, target string
		headers        []string
		code           int
	}{
		{"GET", "/room/9527/", []string{browser}, 200},
		{"GET", "/a//b/..", []string{browser}, 200},
		{"GET", "/timer", []string{browser}, 200},
		{"GET", "/", []string{browser}, 200},
		{"GET", "/a", []string{"Accept: application/json", "Accept: TEXT/HTML"}, 200},
		{"GET", "/a", []string{"Accept: */*"}, 426},
		{"GET", "/a", []string{"Accept: text/*"}, 426},
		{"GET", "/a", []string{"Accept: text/html;q=0"}, 426},
		{"GET", "/a", []string{browser, "Upgrade: websocket"}, 426},
		{"GET", "/a", []string{browser, "Connection: Upgrade", "Upgrade: h2c"}, 426},
		{"GET", "/a", []string{browser, "Connection: Upgrade", "Upgrade: websocket"}, 418},
		{"GET", "/a{", []string{browser}, 400},
		{"POST", "/timer", []string{browser}, 403},
		{"GET", "/__/nothing", []string{browser}, 404},
		{"GET", "/__status", []string{browser}, 200},
	} {
		got := rig.do(tt.method, tt.target, "", tt.headers...)
		page := tt.code == 200 && tt.target != "/__status"
		if isPage := got.header.Get("Content-Security-Policy") != ""; got.code != tt.code || isPage != page {
			t.Errorf("%s %s with %q: got %d, a page: %t, want %d, %t", tt.method, tt.target, tt.headers, got.code, isPage, tt.code, page)
		}
		if vary := got.header.Values("Vary"); tt.code == 200 && page && !slices.Contains(vary, "Accept") {
			t.Errorf("%s %s: got Vary %q, want Accept in it", tt.method, tt.target, vary)
		}
	}
}

// A cache must not give a program the page that a browser got, or the reverse.
func TestHeadOfAGroupIsThatOfItsGet(t *testing.T) {
	rig := newRig(t, Options{})
	for _, accept := range []string{"text/html", "*/*"} {
		get := rig.do("GET", "/a", "", "Accept: "+accept)
		head := rig.do("HEAD", "/a", "", "Accept: "+accept)
		get.header.Del("Date")
		head.header.Del("Date")
		if diff := cmp.Diff(get.header, head.header); head.code != get.code || head.body != "" || diff != "" {
			t.Errorf("Accept %s: HEAD got %d %q, GET got %d; headers, -GET +HEAD:\n%s", accept, head.code, head.body, get.code, diff)
		}
		if vary := get.header.Values("Vary"); !slices.Contains(vary, "Accept") {
			t.Errorf("Accept %s: got Vary %q, want Accept in it", accept, vary)
		}
	}
}

func TestConsoleEndpoints(t *testing.T) {
	rig := newRig(t, Options{})
	for target, contentType := range map[string]string{
		"/__/docs":             "text/html; charset=utf-8",
		"/__/docs/":            "text/html; charset=utf-8",
		"/__/asyncapi.json":    "application/json",
		"/__/openapi.json":     "application/json",
		"/__/stats":            "application/json",
		"/__/assets/room.js":   "text/javascript; charset=utf-8",
		"/__/assets/style.css": "text/css; charset=utf-8",
	} {
		if got := rig.do("GET", target, ""); got.code != 200 || got.header.Get("Content-Type") != contentType || got.body == "" {
			t.Errorf("GET %s: got %d %v", target, got.code, got.header)
		}
		if got := rig.do("HEAD", target, ""); got.code != 200 || got.body != "" {
			t.Errorf("HEAD %s: got %d %q", target, got.code, got.body)
		}
		if got := rig.do("POST", target, "x"); got.code != 405 || got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("POST %s: got %d, Allow %q", target, got.code, got.header.Get("Allow"))
		}
	}
	for _, target := range []string{"/__/assets/", "/__/assets/room.html", "/__/assets/../docs.html", "/__/assets/nothing.js"} {
		wantError(t, "GET "+target, rig.do("GET", target, ""), 404)
	}
}

// Rules of proxies, such as "location /__/ { deny all; }", see paths as they are written.
func TestReservedPathsAreSpelledLiterally(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	for target, code := range map[string]int{
		"/__/version":           200,
		"/%5F%5F/version":       404,
		"/_%5f/version":         404,
		"/__%2Fversion":         404,
		"/__/%76ersion":         404,
		"/__/version%2F":        404,
		"/__/h%69story":         404,
		"/%5F_/groups?secret=s": 404,
		"/__status":             200,
		"/__statu%73":           400,
		"/%5F_status":           400,
	} {
		if got := rig.do("GET", target, ""); got.code != code {
			t.Errorf("GET %s: got %d %s, want %d", target, got.code, got.body, code)
		}
	}
}
