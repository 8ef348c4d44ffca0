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

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
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
	for i := range maxFetching { // each another one, since requests for the same page share a call
		all.Go(func() {
			if code := rig.page(t.Context(), i); code != 200 {
				t.Errorf("a page in its turn: %d", code)
			}
		})
	}
	for range maxFetching {
		<-entered
	}
	if code := rig.page(t.Context(), -1); code != 503 {
		t.Errorf("one page more: %d, want 503", code)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if code := rig.page(gone, -1); code != clientGone {
		t.Errorf("one page more, for a client that does not wait: %d, want %d", code, clientGone)
	}
	if len(entered) > 0 {
		t.Error("the history service was asked for it")
	}
	release()
	all.Wait()
}

// page asks for a page over a connection without an address, which has no bound by
// itself, and returns the status.
func (r *rig) page(ctx context.Context, position int) int {
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/__/history?groupName=/a&position="+itoa(position), http.NoBody)
	request.RemoteAddr = "pipe"
	answer := httptest.NewRecorder()
	r.handler.ServeHTTP(answer, request)
	return answer.Code
}

func TestPagesOfStrangersLeavePlacesToCallersThatAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newPageLimits(plenty())
		fetched := func(client string) bool {
			permit := pagePermit{limits: limits, client: client}
			return permit.toFetch(t.Context(), 1)
		}
		for i := range maxFetching {
			got, want := fetched("address 203.0.113.1"), i < maxFetching/4
			if got != want {
				t.Errorf("page %d of one address is fetched: %t, want %t", i, got, want)
			}
		}
		for i := range maxFetching {
			got, want := fetched("address 203.0.114."+itoa(i)), i < maxFetching/2
			if got != want {
				t.Errorf("page of address %d is fetched: %t, want %t", i, got, want)
			}
		}
		for range 2 * maxQueued { // they wait
			go fetched("address 203.0.115.1")
			go fetched("address 203.0.115.2")
		}
		synctest.Wait()
		if n := limits.queued.Used(); n != maxQueued/2 {
			t.Errorf("%d wait, want a quarter of %d for each address", n, maxQueued)
		}
		if !fetched("user alice") {
			t.Error("a caller that is known has to wait for strangers")
		}
	})
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

func TestSlowReadersOfLargePagesKeepNobodyFromSmallOnes(t *testing.T) {
	rig := newRig(t, Options{})
	rig.history.page = func(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
		large := strings.Repeat("x", limit.SmallPage)
		return &historyv1.GetHistoryResponse{Code: 200, Data: []string{large[:r.GetSize()*limit.SmallPage]}}, nil
	}
	writing, gone := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range maxSending {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/__/history?groupName=/a&size=1", http.NoBody)
			r.RemoteAddr = "pipe" // its bounds are those of all
			rig.handler.ServeHTTP(deaf{httptest.NewRecorder(), writing, gone}, r)
		})
	}
	for range maxSending {
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

func TestAPageThatPanicsReleasesItsPermit(t *testing.T) {
	limits := newPageLimits(plenty())
	broken := serveHistory(pages.New(nil, marshalHistory, 0, prometheus.NewRegistry()), limits, limit.New(limit.Settings{}, nil, prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	defer func() {
		if recover() == nil || limits.inUse() != 0 {
			t.Errorf("after a panic: %d pages are under way, want none", limits.inUse())
		}
	}()
	broken(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/?groupName=/a", http.NoBody))
}

func TestAtMostHalfOfTheFetchedPagesWaitForSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newPageLimits(plenty())
		for range maxSending {
			limits.sending.TryAcquire("", 1)
		}
		for range maxFetching {
			permit := pagePermit{limits: limits}
			permit.toFetch(t.Context(), 1)
			go func() {
				defer permit.release()
				permit.toSend(t.Context(), limit.SmallPage+1)
			}()
		}
		synctest.Wait()
		if n := limits.fetching.Used(); n != maxWaiting {
			t.Errorf("%d wait for slow readers, want %d", n, maxWaiting)
		}
		time.Sleep(pagePatience + time.Second)
		if limits.fetching.Used() != 0 || limits.waiting.Used() != 0 || limits.sending.Used() != maxSending {
			t.Errorf("after their patience: %d are fetched, %d wait, %d are sent", limits.fetching.Used(), limits.waiting.Used(), limits.sending.Used())
		}
	})
}

// Pages that waited for their part of the budget counted nowhere.
func TestAPageThatWaitsToBeSentIsInTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newPageLimits(plenty())
		size := int(limits.budget.Pages.Size() / 4)
		others, _ := limits.budget.Pages.TryAcquire("a", int64(size))
		permit := pagePermit{limits: limits, client: "a"}
		permit.toFetch(t.Context(), limit.PageCost(size))
		sent := make(chan bool, 1)
		go func() { sent <- permit.toSend(t.Context(), size) }()
		synctest.Wait()
		if n := limits.budget.Fetches.Used(); n == 0 {
			t.Error("the budget does not know the page while it waits")
		}
		others.Release()
		if !<-sent || limits.budget.Fetches.Used() != 0 || limits.budget.Pages.Used() != int64(size) {
			t.Errorf("afterwards: %d bytes are fetched, %d are sent", limits.budget.Fetches.Used(), limits.budget.Pages.Used())
		}
		permit.release()
		if limits.inUse() != 0 || limits.budget.Pages.Used() != 0 {
			t.Errorf("at the end: %d pages, %d bytes", limits.inUse(), limits.budget.Pages.Used())
		}
	})
}
