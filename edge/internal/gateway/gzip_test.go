package gateway

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// zipped asks g for an answer of that text.
func zipped(t *testing.T, g *gzipWriters, method, encodings, text string, code int) (answer *http.Response, got string) {
	t.Helper()
	r := httptest.NewRequest(method, "/__/history", nil)
	if encodings != "" {
		r.Header["Accept-Encoding"] = strings.Split(encodings, "|")
	}
	w := httptest.NewRecorder()
	g.withGzip(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(code)
		for len(text) > 0 {
			n := min(len(text), 1000)
			_, _ = io.WriteString(w, text[:n])
			text = text[n:]
		}
	})(w, r)
	answer = w.Result()
	var body io.Reader = answer.Body
	if answer.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

// A container may use few of the machine's processors.
func TestHalfOfTheProcessorsOfTheProcessCompress(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 4: 2, 2*runtime.NumCPU() + 3: runtime.NumCPU() + 2} {
		before := runtime.GOMAXPROCS(processors)
		if got := cap(newGzipWriters().free); got != want {
			t.Errorf("%d processors: %d writers, want %d", processors, got, want)
		}
		runtime.GOMAXPROCS(before)
	}
}

func TestLargeAnswersAreCompressedWhenAskedFor(t *testing.T) {
	large, small := strings.Repeat(`{"text":"房"}`, 1000), strings.Repeat("x", minGzip-1)
	for _, tt := range []struct {
		encodings, text string
		code            int
		want            bool
	}{
		{"gzip", large, 200, true},
		{"br, GZIP;q=0.5, *", large, 200, true},
		{"br|gzip ; q=1.0", large, 200, true},
		{"", large, 200, false},
		{"*", large, 200, false},
		{"br, deflate", large, 200, false},
		{"gzip;q=0", large, 200, false},
		{"gzip; q=0.000", large, 200, false},
		{"gzip;q=x", large, 200, false},
		{"x-gzip", large, 200, false},
		{"gzip", small, 200, false},
		{"gzip", "", 200, false},
		{"gzip", large, 503, false},
	} {
		g := newGzipWriters()
		for range 3 { // writers are used again
			answer, got := zipped(t, g, http.MethodGet, tt.encodings, tt.text, tt.code)
			if is := answer.Header.Get("Content-Encoding") == "gzip"; is != tt.want || got != tt.text || answer.StatusCode != tt.code {
				t.Errorf("%q, %d bytes, %d: compressed %v, want %v; the text is the same: %v", tt.encodings, len(tt.text), tt.code, is, tt.want, got == tt.text)
			}
			if length := answer.Header.Get("Content-Length"); (length == "") != tt.want {
				t.Errorf("%q, %d bytes: Content-Length %q, compressed: %v", tt.encodings, len(tt.text), length, tt.want)
			}
			if answer.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%q: Vary %q", tt.encodings, answer.Header.Get("Vary"))
			}
		}
	}
	if answer, _ := zipped(t, newGzipWriters(), http.MethodHead, "gzip", large, 200); answer.Header.Get("Content-Encoding") != "" {
		t.Error("an answer to HEAD is compressed")
	}
}

func TestAnswersAreSentAsTheyAreWhileAllWritersAreInUse(t *testing.T) {
	g := newGzipWriters()
	text := strings.Repeat("x", 10*minGzip)
	for range cap(g.free) {
		<-g.free
	}
	if answer, got := zipped(t, g, http.MethodGet, "gzip", text, 200); answer.Header.Get("Content-Encoding") != "" || got != text {
		t.Error("an answer is compressed without a writer")
	}
	g.free <- nil
	if answer, got := zipped(t, g, http.MethodGet, "gzip", text, 200); answer.Header.Get("Content-Encoding") != "gzip" || got != text {
		t.Error("an answer is not compressed with a writer")
	}
	if len(g.free) != 1 {
		t.Errorf("%d writers are free afterwards, want 1", len(g.free))
	}
}

func TestPagesAndGroupsAreCompressed(t *testing.T) {
	rig := newRig(t, Options{AdminSecrets: secrets("s")})
	text := strings.Repeat("x", 2000)
	rig.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		return &historyv1.GetHistoryResponse{Code: 200, Data: []string{text}}, nil
	}
	rig.history.groups = func(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
		return &historyv1.ListGroupsResponse{Code: 200, Groups: []*historyv1.Group{{Name: "/" + text}}}, nil
	}
	for _, target := range []string{"/__/history?groupName=/a", "/__/groups?secret=s"} {
		got := rig.do("GET", target, "", "Accept-Encoding: gzip")
		z, err := gzip.NewReader(strings.NewReader(got.body))
		if err != nil {
			t.Fatalf("%s: %v: %s", target, err, got.body)
		}
		if body, err := io.ReadAll(z); err != nil || !strings.Contains(string(body), text) {
			t.Errorf("%s: got %s, %v", target, body, err)
		}
		if vary := strings.Join(got.header["Vary"], ", "); !strings.Contains(vary, "Accept-Encoding") {
			t.Errorf("%s: Vary %q, want Accept-Encoding among it", target, vary)
		}
		if plain := rig.do("GET", target, ""); !strings.Contains(plain.body, text) || plain.header.Get("Content-Length") == "" {
			t.Errorf("%s without Accept-Encoding: got %v", target, plain)
		}
	}
}
