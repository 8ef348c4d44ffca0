package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestIfNoneMatch(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		holds bool // for the version v1
		only  string
	}{
		{"absent", nil, false, ""},
		{"empty", []string{""}, false, ""},
		{"strong", []string{`"v1"`}, true, "v1"},
		{"weak", []string{`W/"v1"`}, true, "v1"},
		{"another", []string{`"v2"`}, false, "v2"},
		{"any", []string{"*"}, true, ""},
		{"any, with blanks", []string{" \t* "}, true, ""},
		{"any is no list element", []string{`*, "v1"`}, false, ""},
		{"list", []string{`"v0", W/"v1" ,"v2"`}, true, ""},
		{"list without it", []string{`"v0","v2"`}, false, ""},
		{"empty elements", []string{`, ,"v1",,`}, true, "v1"},
		{"two lines", []string{`"v0"`, `"v1"`}, true, ""},
		{"comma within", []string{`"a,b", "v1"`}, true, ""},
		{"no version of ours", []string{`"a,b"`}, false, ""},
		{"no version of ours, not UTF-8", []string{"\"\xff\""}, false, ""},
		{"too long", []string{`"` + strings.Repeat("v", 65) + `"`}, false, ""},
		{"empty tag", []string{`""`}, false, ""},
		{"no quotes", []string{`v1`}, false, ""},
		{"one quote", []string{`"v1`}, false, ""},
		{"small w", []string{`w/"v1"`}, false, ""},
		{"blank after W/", []string{`W/ "v1"`}, false, ""},
		{"blank within", []string{`"v 1"`}, false, ""},
		{"no comma", []string{`"v1" "v2"`}, false, ""},
		{"junk at the end", []string{`"v1", v`}, false, ""},
		{"junk on another line", []string{`"v1"`, `v`}, false, ""},
	} {
		c := parseIfNoneMatch(tt.lines)
		if c.holds("v1") != tt.holds || c.only() != tt.only {
			t.Errorf("%s: %q: holds %v, only %q; want %v, %q", tt.name, tt.lines, c.holds("v1"), c.only(), tt.holds, tt.only)
		}
	}
	if parseIfNoneMatch([]string{`""`}).holds("") {
		t.Error("the version that is not known is held")
	}
}

// FuzzIfNoneMatch compares with net/http, which is not as strict: what holds
// here holds there.
func FuzzIfNoneMatch(f *testing.F) {
	for _, s := range []string{"", "*", `"v1"`, `W/"v1"`, `"v0", W/"v1" ,"v2"`, `,,"v1",`, `"v1`, `"v1" "v2"`, "W/", `"`, "\"\xff\", \"v1\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if !parseIfNoneMatch([]string{header}).holds("v1") {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", header)
		w := httptest.NewRecorder()
		w.Header().Set("Etag", `W/"v1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("page"))
		if w.Code != http.StatusNotModified {
			t.Errorf("%q holds here, but net/http answers %d", header, w.Code)
		}
	})
}
