package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/access/accesstest"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// caller is alice with these rights, until her token expires.
func caller(t *testing.T, grant string, lives time.Duration) *access.Identity {
	t.Helper()
	return accesstest.User(t, "alice", grant, lives)
}

func TestMemberWhoMayNotPublishIsToldAndNotHeard(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		two := e.dial(chat)
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		one := e.dial(chat)
		one.data("a")
		one.text("hello", `{"type":1,"command":3,"uuid":"a"}`, `{"type":1,"command":5,"uuid":"p"}`)
		one.wantGot("error 403 a", "error 403 ", "error 403 ", `{"type":1,"command":5,"uuid":"p"}`)
		two.wantGot()
		two.data("b")
		one.wantGot("error 403 a", "error 403 ", "error 403 ", `{"type":1,"command":5,"uuid":"p"}`, "b")
	})
}

func TestWhatIsNotPublishedTakesNothingOfTheGroupsLimit(t *testing.T) {
	limits := limit.New(limit.Settings{GroupMessages: 0.5}, nil, prometheus.NewRegistry()) // one at once
	inBubble(t, session.Options{Limits: limits}, func(e *edge) {
		two := e.dial(chat)
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		one := e.dial(chat)
		one.data("a")
		one.text("hello", `{"type":1,"command":5,"uuid":"p"}`, `{"type":1,"command":1,"uuid":"forged"}`)
		one.wantGot("error 403 a", "error 403 ", `{"type":1,"command":5,"uuid":"p"}`)
		two.data("b")
		two.wantGot("ack b")
		two.data("c")
		two.wantGot("ack b", "error 429 c")
	})
}

func TestMemberWhoMayNotReadGetsWhatIsLiveOnly(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		two := e.dial(chat)
		two.data("a", "b")
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		one := e.dial(chat + "?after=a")
		one.wantGot("error 403 ")
		two.data("c")
		one.wantGot("error 403 ", "c")
	})
}

func TestQueriesAreAskedInTheNameOfTheMember(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"]}`, time.Hour)
		e.history.answer = func(ctx context.Context, _ *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
			if name := access.FromContext(ctx).Name(); name != "alice" {
				t.Errorf("asked in the name of %q", name)
			}
			return nil, status.Error(codes.PermissionDenied, "no")
		}
		one := e.dial(chat)
		one.text(`{"type":1,"command":2,"uuid":"q"}`)
		one.wantGot("error 403 q")
	})
}

func TestJoinFromTheLobbyNeedsTheRight(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/room/*"]}`, time.Hour)
		one, two := e.dial("/"), e.dial("/")
		one.text("join:/room/1")
		one.wantOpen()
		two.text("join:/other")
		two.wantClosed(1008)
	})
}

func TestExpiredTokenEndsTheConnection(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"],"publish":["/**"]}`, time.Hour)
		one := e.dial(chat)
		time.Sleep(time.Hour - 30*time.Second)
		lobby := e.dial("/")
		time.Sleep(29 * time.Second)
		one.data("a")
		one.wantOpen()
		lobby.wantOpen()
		time.Sleep(2 * time.Second)
		one.wantClosed(4401)
		lobby.wantClosed(4401)
		if n := e.relay.Open(); n != 0 {
			t.Errorf("%d groups are open", n)
		}
	})
}

func TestConnectionWithoutExpiryStays(t *testing.T) {
	inBubble(t, session.Options{}, func(e *edge) {
		e.by = access.System()
		one := e.dial(chat)
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		one.wantOpen()
	})
}

// A client whose network changed comes back while the server still waits for signs of life
// on its old connection.
func TestTheNewestConnectionOfAUserTakesThePlaceOfTheOldest(t *testing.T) {
	limits := limit.New(limit.Settings{UserConnections: 2}, nil, prometheus.NewRegistry())
	inBubble(t, session.Options{Limits: limits}, func(e *edge) {
		e.by = caller(t, `{"join":["/**"],"publish":["/**"]}`, time.Hour)
		oldest, second := e.dial(chat), e.dial(chat)
		newest := e.dial(chat)
		oldest.wantClosed(1008)
		second.data("a")
		newest.wantGot("a")
		synctest.Wait()
		_ = second.Close()
		synctest.Wait()
		another := e.dial(chat)
		another.data("b")
		newest.wantGot("a", "b") // there was room
	})
}
