package console

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/wire/group"
)

func newConsole(t *testing.T) *Console {
	t.Helper()
	c, err := New("", func() Figures { return Figures{} })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get asks serve with headers "Name: value".
func get(serve http.HandlerFunc, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://edge.example:4998/x", http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	serve(w, r)
	return w
}

func (c *Console) page(g group.Name) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { c.ServePage(w, r, g) }
}

func TestGroupsHaveAChatAndTheLobbyTheLandingPage(t *testing.T) {
	c := newConsole(t)
	for g, script := range map[group.Name]string{
		"/room/9527/": "room.js", group.Timer: "room.js", group.Lobby: "home.js",
	} {
		w := get(c.page(g))
		if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "."+assetsPath+script) {
			t.Errorf("page of %s: got %d %.200s, want it to load %s", g, w.Code, body, script)
		}
	}
}

// A proxy may have put the server under a path, which it takes away or not.
func TestPagesReferToOtherPathsFromWhereTheyAre(t *testing.T) {
	c := newConsole(t)
	for path, want := range map[string]string{
		"/": "./", "/room": "./", "/room/": "../", "/room/9527/": "../../", "//": "../", "/a//b": "../../", "/a%2Fb": "./", "/%2F/": "../",
	} {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		w := httptest.NewRecorder()
		c.ServePage(w, r, "/x")
		body := w.Body.String()
		if !strings.Contains(body, `src="`+want+`__/assets/room.js"`) || !strings.Contains(body, `href="`+want+`"`) || strings.Contains(body, `="/`) {
			t.Errorf("page of %s, want references that begin with %s: %.900s", path, want, body)
		}
	}
	if home := get(c.page(group.Lobby)).Body.String(); !strings.Contains(home, `value="/room/9527/"`) {
		t.Errorf("the name of a group is taken for a reference: %.1200s", home)
	}
	deep, flat := httptest.NewRecorder(), httptest.NewRecorder()
	c.ServePage(deep, httptest.NewRequest(http.MethodGet, "/a/b", http.NoBody), "/a/b")
	c.ServePage(flat, httptest.NewRequest(http.MethodGet, "/a", http.NoBody), "/a")
	if deep.Header().Get("Etag") == flat.Header().Get("Etag") {
		t.Error("two different texts have one ETag")
	}
}

func TestPagesAllowOnlyTheirOwnScripts(t *testing.T) {
	c := newConsole(t)
	for name, serve := range map[string]http.HandlerFunc{
		"room": c.page("/a"), "home": c.page(group.Lobby), "docs": c.endpoints["/__/docs"],
	} {
		h := get(serve).Header()
		want := map[string]string{
			"Content-Type": "text/html; charset=utf-8",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
				"connect-src 'self' ws://edge.example:4998 wss://edge.example:4998; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
				"require-trusted-types-for 'script'; trusted-types 'none'",
			"X-Content-Type-Options":     "nosniff",
			"Referrer-Policy":            "no-referrer",
			"Cross-Origin-Opener-Policy": "",
			"Cache-Control":              "no-cache",
		}
		for header, value := range want {
			if got := h.Get(header); got != value {
				t.Errorf("%s: header %s is %q, want %q", name, header, got, value)
			}
		}
	}
}

func TestPagesHaveAnOpenerPolicyWhereBrowsersHeedIt(t *testing.T) {
	c := newConsole(t)
	h := get(c.page("/a"), "Sec-Fetch-Dest: document").Header()
	if got := h.Get("Cross-Origin-Opener-Policy"); got != "same-origin" {
		t.Errorf("over HTTPS: got Cross-Origin-Opener-Policy %q, want same-origin", got)
	}
}

func TestHostCannotChangeThePolicy(t *testing.T) {
	c := newConsole(t)
	for host, want := range map[string]string{
		"[::1]:4998":              "connect-src 'self' ws://[::1]:4998 wss://[::1]:4998; ",
		"a;script-src *":          "connect-src 'self'; ",
		"a.example;script-src":    "connect-src 'self'; ",
		"a.example,default-src":   "connect-src 'self'; ",
		"*":                       "connect-src 'self'; ",
		"":                        "connect-src 'self'; ",
		"a.example 'unsafe-eval'": "connect-src 'self'; ",
	} {
		policy := get(c.page("/a"), "Host: "+host).Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, want) || strings.Count(policy, "script-src") != 1 {
			t.Errorf("Host %q: got policy %q, want %q in it", host, policy, want)
		}
	}
}

// What the policy forbids would not work: inline code, and files from elsewhere.
func TestPagesLoadNothingButEmbeddedFiles(t *testing.T) {
	c := newConsole(t)
	files, err := readAssets()
	if err != nil {
		t.Fatal(err)
	}
	reference := regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:[^>]*[^>"])?>[^<]`)
	known := map[string]bool{"/": true, "/timer": true}
	for name, body := range files {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		if found := inline.Find(body); found != nil {
			t.Errorf("%s has inline code: %s", name, found)
		}
		references := reference.FindAllSubmatch(body, -1)
		if len(references) < 3 {
			t.Errorf("%s has %d references, want styles, script and icon", name, len(references))
		}
		for _, m := range references {
			if target := string(m[1]); !known[target] && c.endpoints[target] == nil {
				t.Errorf("%s refers to %s, which nothing serves", name, target)
			}
		}
	}
}

func TestFilesAreSentOnceAndThenAskedFor(t *testing.T) {
	c := newConsole(t)
	for path, contentType := range map[string]string{
		"/__/assets/room.js":   "text/javascript; charset=utf-8",
		"/__/assets/style.css": "text/css; charset=utf-8",
		"/__/assets/icon.svg":  "image/svg+xml",
		"/__/asyncapi.json":    "application/json",
		"/__/openapi.json":     "application/json",
		"/__/docs":             "text/html; charset=utf-8",
		"/__/client.js":        "text/javascript; charset=utf-8",
		"/__/client.mjs":       "text/javascript; charset=utf-8",
	} {
		serve := c.endpoints[path]
		if serve == nil {
			t.Errorf("nothing serves %s", path)
			continue
		}
		w := get(serve)
		h := w.Header()
		if w.Code != 200 || w.Body.Len() == 0 || h.Get("Content-Type") != contentType || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: got %d, %d bytes, %v", path, w.Code, w.Body.Len(), h)
		}
		etag := h.Get("Etag")
		if w := get(serve, "If-None-Match: "+etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("GET %s with its ETag %s: got %d, %d bytes, want 304", path, etag, w.Code, w.Body.Len())
		}
		if w := get(serve, `If-None-Match: "other"`); w.Code != http.StatusOK {
			t.Errorf("GET %s with another ETag: got %d, want 200", path, w.Code)
		}
	}
}

// A script tag of another site's page sends no Origin; an import of a module does.
func TestPagesOfAnyOriginMayLoadTheClientAndNothingElse(t *testing.T) {
	for path, serve := range newConsole(t).endpoints {
		h := get(serve, "Origin: https://elsewhere.example").Header()
		got := [...]string{h.Get("Access-Control-Allow-Origin"), h.Get("Cross-Origin-Resource-Policy"), h.Get("Cache-Control")}
		want := [...]string{"", "same-origin", "no-cache"}
		switch path {
		case "/__/client.js", "/__/client.mjs":
			want = [...]string{"*", "cross-origin", "public, max-age=600"}
		case "/__/stats":
			continue // figures, no file
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestDifferentFilesHaveDifferentETags(t *testing.T) {
	a, b := newDocument("a.js", []byte("1")), newDocument("a.js", []byte("2"))
	if a.etag == b.etag {
		t.Errorf("both have the ETag %s", a.etag)
	}
}

func TestReferenceIsTheContract(t *testing.T) {
	var document struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(get(newConsole(t).endpoints["/__/openapi.json"]).Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" || document.Paths["/__/history"]["post"] == nil {
		t.Errorf("got %+v", document)
	}
}

func TestDocumentsNameThePathOfTheServer(t *testing.T) {
	c, err := New("/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/__/openapi.json": `"url": "/chat/"`, "/__/asyncapi.json": `"pathname": "/chat/"`} {
		if body := get(c.endpoints[path]).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s has no %s", path, want)
		}
	}
}

func TestFiguresAreMadeAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		serve := newStats(func() Figures {
			made++
			return Figures{Members: made, Groups: 2, Received: 3, Delivered: 1 << 60}
		}).serve
		for i, want := range []string{
			`{"code":200,"members":1,"groups":2,"received":3,"delivered":1152921504606846976}`,
			`{"code":200,"members":1,"groups":2,"received":3,"delivered":1152921504606846976}`,
			`{"code":200,"members":2,"groups":2,"received":3,"delivered":1152921504606846976}`,
		} {
			w := get(serve)
			if diff := cmp.Diff(want, w.Body.String()); diff != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("answer %d, %v, -want +got:\n%s", i, w.Header(), diff)
			}
			time.Sleep(600 * time.Millisecond)
		}
	})
}
