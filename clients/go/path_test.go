package gotapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// underPath serves h under a path, and its version. Elsewhere it answers as a server does whose
// groups these paths are.
type underPath struct {
	path string
	h    http.Handler

	mu   sync.Mutex
	seen []string
}

func (u *underPath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.seen = append(u.seen, r.Method+" "+r.RequestURI)
	u.mu.Unlock()
	switch {
	case r.URL.Path == u.path+"/__/version":
		_, _ = io.WriteString(w, `{"code":200,"version":"v1"}`)
	case u.path != "" && strings.HasPrefix(r.URL.Path, u.path+"/"):
		http.StripPrefix(u.path, u.h).ServeHTTP(w, r)
	case r.Method == http.MethodPost:
		_, _ = io.WriteString(w, `{"code":200,"group":"/room/","stored":false}`)
	default:
		own(http.StatusUpgradeRequired).write(w)
	}
}

func (u *underPath) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

func (u *underPath) client(t *testing.T, path string) *gotapi.Client {
	t.Helper()
	srv := httptest.NewServer(u)
	t.Cleanup(srv.Close)
	c, err := gotapi.New(srv.URL+path, gotapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestServerMayBeUnderAPath(t *testing.T) {
	for _, slash := range []string{"", "/"} {
		s := &script{t: t, history: []string{data("1")}}
		u := &underPath{path: "/our/chat", h: s}
		c := u.client(t, "/our/chat"+slash)
		page, err := c.History(t.Context(), "/room/1", gotapi.PageRequest{})
		if err != nil || !slices.Equal(page.Packets, s.history) {
			t.Errorf("history: %q, %v", page.Packets, err)
		}
		m, err := c.Join("//a b/", gotapi.JoinOptions{After: "u"})
		if err != nil {
			t.Fatal(err)
		}
		heard(t, m, 1)
		m.Close()
		want := []string{"GET /our/chat/__/version", "POST /our/chat/__/history", "GET /our/chat//a%20b/?after=u"}
		if got := u.requests(); !slices.Equal(got, want) {
			t.Errorf("requests %q, want %q", got, want)
		}
	}
}

// To a server at the root, every path of the URL would be the beginning of a group's name.
func TestURLThatNamesAGroupIsRefused(t *testing.T) {
	u := &underPath{}
	c := u.client(t, "/room/")
	_, err := c.History(t.Context(), "/a", gotapi.PageRequest{})
	if gotapi.CodeOf(err) != http.StatusNotFound || !strings.Contains(err.Error(), "/room") {
		t.Errorf("history: %v, want code 404 that names the path", err)
	}
	if _, err := c.Publish(t.Context(), "/a", []byte("hello")); gotapi.CodeOf(err) != http.StatusNotFound {
		t.Errorf("publish: %v, want code 404", err)
	}
	m, err := c.Join("/a", gotapi.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Next(t.Context()); gotapi.CodeOf(err) != http.StatusNotFound {
		t.Errorf("join: %v, want code 404", err)
	}
	for _, r := range u.requests() {
		if r != "GET /room/__/version" {
			t.Errorf("the server got %s, want nothing but the question whether it is there", r)
		}
	}
}
