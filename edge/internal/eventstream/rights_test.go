package eventstream_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/accesstest"
	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
)

// alice is a caller with these rights, until her token expires.
func alice(t *testing.T, grant string, lives time.Duration) *access.Identity {
	t.Helper()
	return accesstest.User(t, "alice", grant, lives)
}

func (e *edge) status(path string, headers ...string) int {
	e.Helper()
	answer, _, cancel := e.do(e.request(http.MethodGet, path, "", headers...))
	cancel()
	return answer.StatusCode
}

func TestStreamsNeedRights(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		at := e.stream("/a").lastID()
		e.by = alice(e.T, `{"join":["/a","/b"],"read":["/b"]}`, time.Hour)
		for path, want := range map[string]int{"/a": 200, "/c": 403, "/a?last=0": 403, "/a?from=" + at: 403, "/b?last=0": 200} {
			if got := e.status(path, "Accept: text/event-stream"); got != want {
				t.Errorf("a stream of %s: %d, want %d", path, got, want)
			}
		}
		for query, want := range map[string]int{"/a": 200, "/c": 403, "/a&from=" + at: 403} {
			if got := e.poll("groupName=" + query).status; got != want {
				t.Errorf("a poll of %s: %d, want %d", query, got, want)
			}
		}
		c := e.open(e.request(http.MethodPost, "/__/events", `{"do":"join","group":"/c","id":1}`+"\n"+`{"do":"join","group":"/a","id":2}`))
		c.wantGot("answer 1 403", "answer 2 200", "/a live")
	})
}

func TestStreamEndsWithItsCredential(t *testing.T) {
	inBubble(t, eventstream.Options{}, func(e *edge) {
		at := e.poll("groupName=/a").Pos
		e.by = alice(e.T, `{"join":["/a"],"read":["/a"]}`, time.Minute)
		c := e.stream("/a")
		time.Sleep(40 * time.Second)
		c.wantEnded(false)
		if p := e.poll("groupName=/a&wait=50&from=" + at); p.status != http.StatusUnauthorized || p.took != 20*time.Second {
			t.Errorf("a poll got %d after %v, want 401 after 20 s", p.status, p.took)
		}
		c.wantGot("answer 200", "/a live", "error 401")
		c.wantEnded(true)
	})
}

func TestOldestStreamOfAUserGivesWay(t *testing.T) {
	limits := limit.New(limit.Settings{UserConnections: 1}, nil, prometheus.NewRegistry())
	inBubble(t, eventstream.Options{Limits: limits}, func(e *edge) {
		e.by = alice(e.T, `{"join":["/a"]}`, time.Hour)
		first, second := e.stream("/a"), e.stream("/a")
		synctest.Wait()
		first.wantGot("answer 200", "/a live", "error 429")
		first.wantEnded(true)
		second.wantEnded(false)
	})
}
