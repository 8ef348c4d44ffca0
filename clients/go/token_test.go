package gotapi_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// issuer gives the tokens it has, one after another, and notes why.
type issuer struct {
	mu     sync.Mutex
	tokens []string
	why    []string
}

func (i *issuer) token(_ context.Context, why gotapi.TokenReason) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.why = append(i.why, why.String())
	if len(i.tokens) == 0 {
		return "", errors.New("the identity service is down")
	}
	token := i.tokens[0]
	i.tokens = i.tokens[1:]
	return token, nil
}

// guarded lets requests with one of these tokens pass.
func guarded(h http.Handler, accepted ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, token := range accepted {
			if r.Header.Get("Authorization") == "Bearer "+token {
				h.ServeHTTP(w, r)
				return
			}
		}
		own(http.StatusUnauthorized).write(w)
	})
}

func TestAMemberGoesOnWithANewTokenWhenItsOwnExpires(t *testing.T) {
	after := make(chan string, 1)
	s := &script{t: t, sockets: []func(*socket){
		func(s *socket) {
			s.Send(data("1"))
			s.Close(4401, "the token has expired")
			s.UntilClosed()
		},
		func(s *socket) {
			after <- s.Header.Get("Authorization") + " " + s.Query.Get("after")
			s.Send(data("2"))
			s.UntilClosed()
		},
	}}
	i := &issuer{tokens: []string{"old", "new"}}
	m, err := clientWith(t, guarded(s, "old", "new"), gotapi.Options{TokenSource: i.token}).Join("/room", gotapi.JoinOptions{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	want := []string{"connected", "message 1", "disconnected", "connected", "message 2"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := <-after; got != "Bearer new 1" {
		t.Errorf("came back with %q, want the new token, after 1", got)
	}
	if diff := cmp.Diff([]string{"first", "expired"}, i.why); diff != "" {
		t.Errorf("asked for a token (-want +got):\n%s", diff)
	}
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	i := &issuer{tokens: []string{"bad", "good"}}
	m, err := clientWith(t, guarded(&script{t: t}, "good"), gotapi.Options{TokenSource: i.token}).Join("/room", gotapi.JoinOptions{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := heard(t, m, 1); got[0] != "connected" {
		t.Errorf("got %q", got)
	}
	i = &issuer{tokens: []string{"bad", "worse"}}
	m, err = clientWith(t, guarded(&script{t: t}, "good"), gotapi.Options{TokenSource: i.token}).Join("/room", gotapi.JoinOptions{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Next(t.Context()); gotapi.CodeOf(err) != http.StatusUnauthorized {
		t.Errorf("two bad tokens: %v, want code 401", err)
	}
}

func TestAMemberOutlastsASourceThatFails(t *testing.T) {
	i, failed := &issuer{tokens: []string{"good"}}, false
	c := clientWith(t, guarded(&script{t: t}, "good"), gotapi.Options{
		TokenSource: func(ctx context.Context, why gotapi.TokenReason) (string, error) {
			if !failed {
				failed = true
				return "", errors.New("the identity service is down")
			}
			return i.token(ctx, why)
		},
	})
	m, err := c.Join("/room", gotapi.JoinOptions{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if diff := cmp.Diff([]string{"disconnected", "connected"}, heard(t, m, 2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRequestsAreRepeatedWithANewToken(t *testing.T) {
	i := &issuer{tokens: []string{"bad", "good"}}
	published := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply{200, `{"code":200,"stored":false}`}.write(w)
	})
	c := clientWith(t, guarded(published, "good"), gotapi.Options{TokenSource: i.token})
	// A refused packet was not published, so that even this one is sent again.
	if _, err := c.Publish(t.Context(), "/room", []byte("low-level")); err != nil {
		t.Error(err)
	}
}

func TestADeadNetworkIsNoticed(t *testing.T) {
	const pings = 3 // two are more than MaxSilence apart from the connection's beginning
	pinged := make(chan struct{}, pings)
	m, err := clientWith(t, &script{t: t, sockets: []func(*socket){
		func(s *socket) { // nothing comes back from there, not even a pong
			s.conn.SetPingHandler(func(string) error { return nil })
			s.UntilClosed()
		},
		func(s *socket) { // idle, but alive
			pong := s.conn.PingHandler()
			s.conn.SetPingHandler(func(data string) error {
				pinged <- struct{}{}
				return pong(data)
			})
			s.UntilClosed()
		},
	}}, gotapi.Options{MaxSilence: time.Second}).Join("/room", gotapi.JoinOptions{After: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"connected", "disconnected", "connected"}, heard(t, m, 3)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range pings {
		<-pinged
	}
	m.Close()
	if e, err := m.Next(t.Context()); !errors.Is(err, gotapi.ErrClosed) {
		t.Errorf("an idle connection: %v %v, want none", e, err)
	}
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	for _, o := range []gotapi.Options{{MaxSilence: -1}, {RetryMin: -1}, {RetryMax: -1}} {
		if _, err := gotapi.New("http://127.0.0.1:1", o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
