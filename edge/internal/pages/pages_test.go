package pages

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// service is a history service with one group.
type service struct {
	version string
	// It is from before versions.
	old bool
	// What each call was asked to compare with.
	known []string
	// Why the caller may not read.
	denied error
	err    error
}

func (s *service) MayRead(context.Context, string) error { return s.denied }

func (s *service) GetHistory(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	if s.err != nil {
		return nil, s.err
	}
	if r.IfNoneMatch == nil {
		return nil, errors.New("no version is asked for")
	}
	s.known = append(s.known, r.GetIfNoneMatch())
	page := &historyv1.GetHistoryResponse{Data: []string{"page of " + s.version}}
	if s.old {
		return page, nil
	}
	page.Etag = s.version
	if r.GetIfNoneMatch() == s.version {
		return &historyv1.GetHistoryResponse{Etag: s.version, NotModified: true}, nil
	}
	return page, nil
}

type rig struct {
	*testing.T
	*service
	pages   *Pages
	encoded int
}

func newRig(t *testing.T, budget int) *rig {
	t.Helper()
	r := &rig{T: t, service: &service{version: "v1"}}
	r.pages = New(r.service, func(h *historyv1.GetHistoryResponse, _ bool) []byte {
		r.encoded++
		return []byte(strings.Join(h.GetData(), ","))
	}, budget, prometheus.NewRegistry())
	return r
}

func request() *historyv1.GetHistoryRequest { return &historyv1.GetHistoryRequest{GroupName: "/a"} }

// wants gets a page and compares.
func (r *rig) wants(known string, want Page) {
	r.Helper()
	got, err := r.pages.Get(r.Context(), request(), known)
	if err != nil {
		r.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("page (-want +got):\n%s", diff)
	}
}

func of(version string) Page { return Page{Body: []byte("page of " + version), Version: version} }

func TestAPageIsEncodedOnceWhileItHolds(t *testing.T) {
	r := newRig(t, DefaultBytes)
	for range 3 {
		r.wants("", of("v1"))
	}
	if r.encoded != 1 {
		t.Errorf("encoded %d times", r.encoded)
	}
	r.version = "v2"
	r.wants("", of("v2"))
	r.wants("", of("v2"))
	if diff := cmp.Diff([]string{"", "v1", "v1", "v1", "v2"}, r.known); diff != "" {
		t.Errorf("versions that were asked about (-want +got):\n%s", diff)
	}
	if hits, misses := testutil.ToFloat64(r.pages.stats.hits), testutil.ToFloat64(r.pages.stats.misses); hits != 3 || misses != 2 {
		t.Errorf("%v hits, %v misses", hits, misses)
	}
}

func TestRightsAreCheckedForAPageThatIsKept(t *testing.T) {
	r := newRig(t, DefaultBytes)
	r.wants("", of("v1"))
	r.denied = errors.New("no")
	if p, err := r.pages.Get(t.Context(), request(), "v1"); !errors.Is(err, r.denied) || p.Body != nil {
		t.Errorf("got %s, %v", p.Body, err)
	}
	r.denied, r.err = nil, errors.New("unavailable")
	if p, err := r.pages.Get(t.Context(), request(), ""); !errors.Is(err, r.err) || p.Body != nil {
		t.Errorf("without an answer: got %s, %v", p.Body, err)
	}
	if len(r.known) != 1 {
		t.Errorf("the service was asked %d times, want 1", len(r.known))
	}
}

func TestEveryQueryHasItsOwnPage(t *testing.T) {
	seen := make(map[key]string)
	for _, q := range []*historyv1.GetHistoryRequest{
		{GroupName: "/a"},
		{GroupName: "/b"},
		{GroupName: "/a", Position: 1},
		{GroupName: "/a", Size: proto.Int32(0)},
		{GroupName: "/a", Size: proto.Int32(7)},
		{GroupName: "/a", Before: "u"},
		{GroupName: "/a", After: "u"},
		{GroupName: "/a", Meta: true},
	} {
		if twin, ok := seen[keyOf(q)]; ok {
			t.Errorf("%v has the key of %s", q, twin)
		}
		seen[keyOf(q)] = q.String()
	}
	if keyOf(request()) != keyOf(&historyv1.GetHistoryRequest{GroupName: "/a", Size: proto.Int32(defaultSize)}) {
		t.Error("the size when absent is another one")
	}
}

func TestAServiceFromBeforeVersionsIsNotCached(t *testing.T) {
	r := newRig(t, DefaultBytes)
	r.old = true
	for range 2 {
		r.wants("v1", Page{Body: []byte("page of v1")})
	}
	if r.pages.cache.used() != 0 {
		t.Error("something is kept")
	}
	// During an update both answer.
	r.old = false
	r.wants("", of("v1"))
	r.old, r.version = true, "v2"
	r.wants("", Page{Body: []byte("page of v2")})
	r.old = false
	r.wants("", of("v2"))
}

func TestWhatTheClientHasNeedNotTravel(t *testing.T) {
	for name, budget := range map[string]int{"nothing kept yet": DefaultBytes, "no cache": 0} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, budget)
			r.wants("v1", Page{Version: "v1"})
			r.wants("v0", of("v1"))
			if r.encoded != 1 {
				t.Errorf("encoded %d times", r.encoded)
			}
		})
	}
	// What is kept here counts more: another client may come next.
	r := newRig(t, DefaultBytes)
	r.wants("", of("v1"))
	r.wants("v0", of("v1"))
	r.wants("v1", of("v1"))
	if r.encoded != 1 {
		t.Errorf("encoded %d times", r.encoded)
	}
}

func TestARestlessPageIsReadAtOnce(t *testing.T) {
	r := newRig(t, DefaultBytes)
	get := func(version string) {
		t.Helper()
		r.version = version
		r.wants("", of(version))
	}
	for i := range 5 {
		get(strconv.Itoa(i))
	}
	get("4") // rests: the next one compares again
	get("4")
	get("5")
	get("5")
	if diff := cmp.Diff([]string{"", "0", "1", "", "", "", "4", "4", "5"}, r.known); diff != "" {
		t.Errorf("versions that were asked about (-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatNobodyAskedForIsAnError(t *testing.T) {
	r := newRig(t, DefaultBytes)
	r.version = "" // equals what was sent, but is no version
	if p, err := r.pages.Get(t.Context(), request(), ""); err == nil {
		t.Errorf("got %+v", p)
	}
}
