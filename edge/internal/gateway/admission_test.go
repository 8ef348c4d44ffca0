package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// hold makes pages wait for release; entered tells of each that waits.
func (r *rig) hold() (entered <-chan struct{}, release func()) {
	in, out := make(chan struct{}, 1000), make(chan struct{})
	r.history.page = func(context.Context, *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		in <- struct{}{}
		<-out
		return &historyv1.GetHistoryResponse{Code: 200}, nil
	}
	return in, func() { close(out) }
}

func TestMoreRequestsThanAllowedAre503AndTheStatusIsServedAllTheSame(t *testing.T) {
	rig := newRig(t, Options{MaxRequests: 1})
	entered, release := rig.hold()
	var first sync.WaitGroup
	first.Go(func() {
		if a := rig.do("GET", "/__/history?groupName=/a", ""); a.code != 200 {
			t.Errorf("the first request: %d %s", a.code, a.body)
		}
	})
	<-entered
	for _, target := range []string{"/a", "/__/history?groupName=/a", "/__/nothing"} {
		a := rig.do("POST", target, "x")
		if a.code != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("POST %s: %d %s with Retry-After %q, want 503", target, a.code, a.body, a.header.Get("Retry-After"))
		}
	}
	if len(rig.published) > 0 {
		t.Error("a refused publish went on")
	}
	if a := rig.do("GET", "/__status", ""); a.code != 200 {
		t.Errorf("status: %d", a.code)
	}
	release()
	first.Wait()
	if a := rig.do("POST", "/a", "x"); a.code != 200 {
		t.Errorf("afterwards: %d %s", a.code, a.body)
	}
}

func TestPagesUnderWayAreBound(t *testing.T) {
	rig := newRig(t, Options{})
	entered, release := rig.hold()
	var all sync.WaitGroup
	for i := range maxPages { // each another one, since requests for the same page share a call
		all.Go(func() {
			if a := rig.do("GET", "/__/history?groupName=/a&position="+itoa(i), ""); a.code != 200 {
				t.Errorf("a page in its turn: %d %s", a.code, a.body)
			}
		})
	}
	for range maxPages {
		<-entered
	}
	if a := rig.do("GET", "/__/history?groupName=/a", ""); a.code != 503 {
		t.Errorf("one page more: %d %s, want 503", a.code, a.body)
	}
	if len(entered) > 0 {
		t.Error("the history service was asked for it")
	}
	release()
	all.Wait()
}

// deaf is a client that reads nothing of an answer.
type deaf struct {
	http.ResponseWriter
	writing chan<- struct{}
	gone    <-chan struct{}
}

// Write implements http.ResponseWriter.
func (d deaf) Write(b []byte) (int, error) {
	d.writing <- struct{}{}
	<-d.gone
	return len(b), nil
}

func TestWhoReadsLargePagesSlowlyKeepsNobodyFromSmallOnes(t *testing.T) {
	rig := newRig(t, Options{})
	rig.history.page = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		large := strings.Repeat("x", smallPage)
		return &historyv1.GetHistoryResponse{Code: 200, Data: []string{large[:r.GetSize()*smallPage]}}, nil
	}
	writing, gone := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range maxLarge {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/__/history?groupName=/a&size=1", http.NoBody)
			rig.handler.ServeHTTP(deaf{httptest.NewRecorder(), writing, gone}, r)
		})
	}
	for range maxLarge {
		<-writing
	}
	if a := rig.do("GET", "/__/history?groupName=/a&size=0", ""); a.code != 200 {
		t.Errorf("a small page: %d %s, want 200", a.code, a.body)
	}
	if a := rig.do("GET", "/__/history?groupName=/a&size=1", ""); a.code != 503 {
		t.Errorf("one large page more: %d, want 503", a.code)
	}
	close(gone)
	all.Wait()
	if a := rig.do("GET", "/__/history?groupName=/a&size=1", ""); a.code != 200 {
		t.Errorf("a large page afterwards: %d, want 200", a.code)
	}
}

func TestAPageThatPanicsGivesItsTurnBack(t *testing.T) {
	turns := newTurns()
	broken := serveHistory(pages.New(nil, marshalHistory, 0, prometheus.NewRegistry()), &turns, slog.New(slog.DiscardHandler))
	defer func() {
		if recover() == nil || turns.Taken() != 0 {
			t.Errorf("after a panic: %d turns are taken, want none", turns.Taken())
		}
	}()
	broken(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/?groupName=/a", http.NoBody))
}

func TestHalfOfTheTurnsAtMostWaitForSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns()
		for range maxLarge {
			turns.sent.Try()
		}
		for range maxPages {
			one := turn{of: &turns}
			one.toFetch(t.Context())
			go func() {
				defer one.end()
				one.toSend(t.Context(), smallPage+1)
			}()
		}
		synctest.Wait()
		if n := turns.fetched.Taken(); n != maxWaiting {
			t.Errorf("%d wait for slow readers, want %d", n, maxWaiting)
		}
		time.Sleep(pagePatience + time.Second)
		if turns.fetched.Taken() != 0 || turns.waiting.Taken() != 0 || turns.sent.Taken() != maxLarge {
			t.Errorf("after their patience: %d are fetched, %d wait, %d are sent", turns.fetched.Taken(), turns.waiting.Taken(), turns.sent.Taken())
		}
	})
}
