package edge

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestBasePathIsTakenAwayExactly(t *testing.T) {
	t.Parallel()
	var path, raw string
	h := withBasePath(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path, raw = r.URL.Path, r.URL.RawPath }), "/our/chat")
	for target, want := range map[string]struct{ path, raw string }{
		"/our/chat/":               {"/", ""},
		"/our/chat//a//":           {"//a//", ""},
		"/our/chat/our/chat/x?a=b": {"/our/chat/x", ""},
		"/our/chat/a%2Fb":          {"/a/b", "/a%2Fb"},
		"/our/chat/%E4%B8%AD":      {"/中", ""},
		"/our/chat/%5F%5F/history": {"/__/history", "/%5F%5F/history"},
		"/our/chat/../x":           {"/../x", ""},
		// Not below it.
		"/our/chat": {}, "/our/chats/": {}, "/": {}, "/our/": {}, "/OUR/chat/": {}, "//our/chat/": {}, "/x/our/chat/": {},
		"/our%2Fchat/": {}, "/%6Fur/chat/a": {}, "/our/chat%2Fa": {}, "/our/./chat/a": {}, "*": {},
	} {
		path, raw = "", ""
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		h.ServeHTTP(w, r)
		if path != want.path || raw != want.raw {
			t.Errorf("GET %s: path %q, raw %q; want %q, %q", target, path, raw, want.path, want.raw)
		}
		if outside := want.path == ""; outside != (w.Code == http.StatusNotFound) {
			t.Errorf("GET %s: %d", target, w.Code)
		}
	}
}

func TestBasePathIsChecked(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"": true, "/": true, "/chat": true, "/chat/": true, "/our/chat-1_2~.x": true,
		"chat": false, "/chat//": false, "//chat": false, "/a/../b": false, "/.": false, "/a b": false, "/a%2Fb": false, "/中": false,
		"/{a}": false, "/a?b": false, "/a#b": false, "/__": false, "/__/x": false, "https://host/chat": false, "/chat\n": false,
	} {
		var cfg Config
		cfg.RegisterFlags(flag.NewFlagSet("edge", flag.ContinueOnError))
		cfg.BasePath = path
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("-base-path %q: %v, want valid: %v", path, err, ok)
		}
	}
}
