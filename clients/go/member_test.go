package gotapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func TestMemberHearsEverythingInOrder(t *testing.T) {
	m := join(t, &script{sockets: []func(*socket){func(s *socket) {
		if got := s.Header.Get("Authorization"); got != "Bearer secret-token" {
			t.Errorf("Authorization %q", got)
		}
		s.Send(data("1"))
		s.Send("low-level")
		s.Send(`{"type":1,"command":3,"uuid":"1"}`)
		s.Send(recall("1"))
		s.Send(`{"type":2,"body":{}}`)
		s.UntilClosed()
	}}}, gotapi.JoinOptions{})
	want := []string{"connected", "message 1", "packet low-level", "receipt 1", "recalled 1", "message"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMemberResumesAfterTheLastMessageItHad(t *testing.T) {
	after := make(chan string, 3)
	note := func(s *socket) { after <- s.Query.Get("after") }
	m := join(t, &script{history: []string{data("0")}, sockets: []func(*socket){
		func(s *socket) { note(s) }, // nothing came: from what was newest before
		func(s *socket) {
			note(s)
			s.Send(data("1"))
			s.Send(`{"type":2,"body":{"data":"anonymous"}}`)
			s.Send(recall("0"))
		},
		func(s *socket) { // the server repeats what follows 1, and the recall
			note(s)
			s.Send(recall("0"))
			s.Send(`{"type":2,"body":{"data":"anonymous"}}`)
			s.Send(data("2"))
			s.Send(`{"type":2,"body":{"data":"another"}}`)
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	want := []string{
		"connected", "disconnected",
		"connected", "message 1", "message", "recalled 0", "disconnected",
		"connected", "message 2", "message",
	}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"", "0", "1"}, []string{<-after, <-after, <-after}); diff != "" {
		t.Errorf("resumed after (-want +got):\n%s", diff)
	}
}

func TestMemberOfAGroupThatWasEmptyMissesNothing(t *testing.T) {
	m := join(t, &script{sockets: []func(*socket){
		func(*socket) {},
		func(s *socket) {
			if s.Query.Get("after") == "" {
				t.Errorf("resumed nowhere")
			}
			s.Send(refusal("", http.StatusGone)) // the server does not know the uuid
			s.Send(data("1"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	want := []string{"connected", "disconnected", "connected", "message 1"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLossIsToldAsAGap(t *testing.T) {
	m := join(t, &script{history: []string{data("0")}, sockets: []func(*socket){
		func(s *socket) {
			s.Send(data("1"))
			s.Send(refusal("", http.StatusGone))
			s.Close(1012, "messages were lost")
		},
		func(s *socket) {
			s.Send(refusal("", http.StatusGone))
			s.Send(data("0"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	want := []string{"connected", "message 1", "gap", "disconnected", "connected", "gap", "message 0"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPublishIsSentAgainUntilItIsAcked(t *testing.T) {
	sent := make(chan string, 3)
	m := join(t, &script{history: []string{data("0")}, sockets: []func(*socket){
		func(s *socket) { sent <- s.Take() }, // and the connection ends
		func(s *socket) {
			sent <- s.Take()
			s.Send(refusal("mine", http.StatusServiceUnavailable))
			sent <- s.Take()
			s.Send(ack("mine"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	p, err := m.Publish(t.Context(), []byte(data("mine")))
	if err != nil || !p.Stored || p.UUID != "mine" {
		t.Fatalf("published %+v, %v", p, err)
	}
	for range 3 {
		if got := <-sent; got != data("mine") {
			t.Errorf("sent %q", got)
		}
	}
}

func TestOwnMessageWhoseAckWasLostIsNoEvent(t *testing.T) {
	m := join(t, &script{history: []string{data("0")}, sockets: []func(*socket){
		func(s *socket) { s.Take() },
		func(s *socket) { // stored all the same: it stands in the stream, and a resend is acked behind it
			s.Send(data("mine"))
			s.Send(data("other"))
			s.Send(ack("mine"))
			s.Send(data("last"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	if _, err := m.Publish(t.Context(), []byte(data("mine"))); err != nil {
		t.Fatal(err)
	}
	want := []string{"connected", "disconnected", "connected", "message other", "message last"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAckOfAResendIsNoPlaceToResumeFrom(t *testing.T) {
	after := make(chan string, 1)
	m := join(t, &script{history: []string{data("0")}, sockets: []func(*socket){
		func(s *socket) { s.Take() },
		func(s *socket) {
			s.Send(data("1"))
			s.Take()
			s.Send(ack("mine")) // perhaps it is before 1
		},
		func(s *socket) {
			after <- s.Query.Get("after")
			s.Send(data("mine")) // it stood after 1
			s.Send(data("2"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{})
	if _, err := m.Publish(t.Context(), []byte(data("mine"))); err != nil {
		t.Fatal(err)
	}
	want := []string{"connected", "disconnected", "connected", "message 1", "disconnected", "connected", "message 2"}
	if diff := cmp.Diff(want, heard(t, m, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := <-after; got != "1" {
		t.Errorf("resumed after %q, want 1", got)
	}
}

func TestRefusalForGoodEndsThePublish(t *testing.T) {
	m := join(t, &script{sockets: []func(*socket){func(s *socket) {
		s.Take()
		s.Send(refusal("mine", http.StatusForbidden))
		s.UntilClosed()
	}}}, gotapi.JoinOptions{PublishOnly: true})
	if _, err := m.Publish(t.Context(), []byte(data("mine"))); gotapi.CodeOf(err) != http.StatusForbidden {
		t.Errorf("got %v, want code 403", err)
	}
}

func TestAPacketThatIsTooLargeEndsNeitherTheMemberNorOthersPublishes(t *testing.T) {
	large := `{"type":2,"uuid":"large","body":{"data":"` + strings.Repeat("x", 1000) + `"}}`
	m := join(t, &script{sockets: []func(*socket){
		func(s *socket) { // the server has read neither
			s.Take()
			s.Take()
			s.Close(websocket.CloseMessageTooBig, "message too big")
			s.UntilClosed()
		},
		func(s *socket) {
			if got := s.Take(); got != data("small") {
				t.Errorf("sent again: %.60q", got)
			}
			s.Send(ack("small"))
			s.UntilClosed()
		},
	}}, gotapi.JoinOptions{PublishOnly: true})
	refused := make(chan error, 1)
	go func() {
		_, err := m.Publish(t.Context(), []byte(large))
		refused <- err
	}()
	if _, err := m.Publish(t.Context(), []byte(data("small"))); err != nil {
		t.Errorf("the small one: %v", err)
	}
	if err := <-refused; gotapi.CodeOf(err) != http.StatusRequestEntityTooLarge {
		t.Errorf("the large one: %v, want code 413", err)
	}
}

func TestPublishGivesUpWithItsContext(t *testing.T) {
	m := join(t, &script{sockets: []func(*socket){(*socket).UntilClosed}}, gotapi.JoinOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Publish(ctx, []byte(data("mine"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestAServerThatDoesNotWantTheMemberEndsIt(t *testing.T) {
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"code":401,"msg":"who are you?"}`))
	}))
	m, err := c.Join("/room", gotapi.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Next(t.Context()); gotapi.CodeOf(err) != http.StatusUnauthorized || err.Error() != "who are you? (code 401)" {
		t.Errorf("got %v, want the refusal", err)
	}
	if _, err := m.Publish(t.Context(), []byte(data("1"))); gotapi.CodeOf(err) != http.StatusUnauthorized {
		t.Errorf("publish: %v, want the refusal", err)
	}
	m.Close()
}

func TestClosedMemberAnswersErrClosed(t *testing.T) {
	m := join(t, &script{}, gotapi.JoinOptions{})
	m.Close()
	for {
		if _, err := m.Next(t.Context()); err != nil {
			if !errors.Is(err, gotapi.ErrClosed) {
				t.Errorf("Next: %v", err)
			}
			break
		}
	}
	if _, err := m.Publish(t.Context(), []byte(data("1"))); !errors.Is(err, gotapi.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
}

func TestCloseDoesNotWaitForAServerThatHangsInTheHandshake(t *testing.T) {
	asked := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer srv.Close()
	c, err := gotapi.New(srv.URL, gotapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Join("/room", gotapi.JoinOptions{After: "a"})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	closed := make(chan struct{})
	go func() { m.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(5 * time.Second): // the server would have twice as long for its answer
		t.Error("Close waits for the server")
	}
}

func TestMemberRefusesWhatTheServerWouldDrop(t *testing.T) {
	m := join(t, &script{}, gotapi.JoinOptions{})
	for _, packet := range []string{`{"type":2,"body":{}}`, ack("1"), `{"type":1,"command":2,"uuid":"q"}`, `{"type":2,"uuid":"a\u0000b"}`} {
		if _, err := m.Publish(t.Context(), []byte(packet)); gotapi.CodeOf(err) != http.StatusBadRequest {
			t.Errorf("%s: %v, want code 400", packet, err)
		}
	}
}

func TestGroupNamesAreSentExactly(t *testing.T) {
	targets := make(chan string, 1)
	for group, want := range map[string]string{
		"//a/../b/./c": "//a/../b/./c", "/中文 room?x#y": "/%E4%B8%AD%E6%96%87%20room%3Fx%23y", "/a:b/": "/a:b/",
	} {
		s := &script{t: t, sockets: []func(*socket){func(s *socket) { targets <- s.Request; s.UntilClosed() }}}
		m, err := clientOf(t, s).Join(group, gotapi.JoinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-targets:
			if got != want {
				t.Errorf("group %q: asked for %q, want %q", group, got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no connection")
		}
		m.Close()
	}
}
