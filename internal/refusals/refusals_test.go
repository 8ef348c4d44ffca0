package refusals_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotapi/gotapi-ws/internal/refusals"
)

func TestAFloodOfOneKindIsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := refusals.New()
		l.Add(refusals.Refusal{What: "packet", Code: 413, Reason: "rare"})
		var floods sync.WaitGroup
		for range 4 {
			floods.Go(func() {
				for range 5000 {
					l.Add(refusals.Refusal{What: "packet", Code: 429, Reason: "too many messages", Group: "/a", User: "u"})
				}
			})
		}
		floods.Wait()
		time.Sleep(time.Second)
		l.Add(refusals.Refusal{What: "packet", Code: 413, Reason: "rare"})
		got := l.Entries()
		if len(got) != 2 || got[0].Reason != "rare" || got[0].Count != 2 || got[0].Last.Sub(got[0].First) != time.Second || got[1].Count != 20000 {
			t.Errorf("entries: %+v", got)
		}
	})
}

func TestOnlySoManyKindsAreKeptTheNewestOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := refusals.New()
		for i := range 5000 {
			time.Sleep(time.Millisecond)
			l.Add(refusals.Refusal{What: "packet", Code: 403, User: fmt.Sprint(i)})
		}
		got := l.Entries()
		if len(got) < 750 || len(got) > 1000 || got[0].User != "4999" || got[len(got)-1].User != fmt.Sprint(5000-len(got)) {
			t.Errorf("%d entries, from %s to %s", len(got), got[0].User, got[len(got)-1].User)
		}
	})
}

func TestTextsOfClientsAreBoundedAndValid(t *testing.T) {
	l := refusals.New()
	l.Add(refusals.Refusal{Reason: strings.Repeat("é", 1000), Group: strings.Repeat("x", 1<<20), User: "\xff\xfe"})
	w := httptest.NewRecorder()
	l.ServeHTTP(w, nil)
	if body := w.Body.String(); len(body) > 2000 || strings.Contains(body, `\ufffd`) || !strings.Contains(body, `"count":1`) {
		t.Errorf("%d bytes: %.300s", len(body), body)
	}
	var none *refusals.Log
	none.Add(refusals.Refusal{})
	w = httptest.NewRecorder()
	none.ServeHTTP(w, nil)
	if w.Body.String() != "{\"refusals\":[]}\n" {
		t.Errorf("a nil log: %s", w.Body)
	}
}
