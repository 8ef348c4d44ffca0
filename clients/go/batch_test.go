package gotapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

func TestABatchIsSentAgainAsFarAsThatIsSafe(t *testing.T) {
	var bodies []string
	answers := []struct {
		status int
		body   string
	}{
		{503, `{"code":503,"msg":"going down"}`},
		{200, `{"code":200,"results":[{"code":200,"group":"/a","stored":true,"uuid":"1","duplicate":false,"seq":7,"at":1700000000007},` +
			`{"code":429,"group":"/a","msg":"slow down","retryAfter":1},{"code":503,"group":"/a","msg":"kept back"},` +
			`{"code":403,"group":"/b","msg":"no"},{"code":504,"group":"/c","msg":"unknown"},{"code":504,"group":"/d","msg":"unknown"}]}`},
		{200, `{"code":200,"results":[{"code":200,"group":"/a","stored":true,"uuid":"2","duplicate":true,"seq":8},` +
			`{"code":200,"group":"/a","stored":false},{"code":200,"group":"/c","stored":true,"uuid":"3","duplicate":false,"seq":9}]}`},
	}
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.RequestURI != "/__/publish" || r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("got %s of %s", r.RequestURI, r.Header.Get("Content-Type"))
		}
		bodies = append(bodies, string(body))
		answer := answers[len(bodies)-1]
		w.WriteHeader(answer.status)
		_, _ = io.WriteString(w, answer.body)
	}))
	got := c.PublishBatch(t.Context(), []gotapi.Outgoing{
		{Group: "/a", Packet: []byte(data("1"))},
		{Group: "/a", Packet: []byte(data("2"))},
		{Group: "/a", Packet: []byte("\xff")},
		{Group: "/b", Packet: []byte("x")},
		{Group: "/c", Packet: []byte(data("3"))},
		{Group: "/d", Packet: []byte("y")},
	})
	want := []gotapi.BatchResult{
		{Published: gotapi.Published{Stored: true, UUID: "1", Seq: 7, At: time.UnixMilli(1700000000007)}},
		{Published: gotapi.Published{Stored: true, UUID: "2", Duplicate: true, Seq: 8}},
		{},
		{Err: &gotapi.Error{Code: 403, Msg: "no"}},
		{Published: gotapi.Published{Stored: true, UUID: "3", Seq: 9}},
		{Err: &gotapi.Error{Code: 504, Msg: "unknown"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if len(bodies) != 3 || bodies[0] != bodies[1] || strings.Count(bodies[2], "\n") != 3 ||
		!strings.Contains(bodies[2], `{"group":"/a","packetBase64":"/w=="}`) {
		t.Errorf("sent %q", bodies)
	}
}

func TestABatchThatBreaksIsRepeatedOnlyForMessages(t *testing.T) {
	requests := 0
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusBadGateway) // of a proxy
			return
		}
		_, _ = io.WriteString(w, `{"code":200,"results":[{"code":200,"group":"/a","stored":true,"uuid":"1"}]}`)
	}))
	got := c.PublishBatch(t.Context(), []gotapi.Outgoing{{Group: "/a", Packet: []byte(data("1"))}, {Group: "/a", Packet: []byte("x")}})
	if got[0].Err != nil || got[0].UUID != "1" || got[1].Err == nil || requests != 2 {
		t.Errorf("after %d requests: %+v", requests, got)
	}
}
