package publishhooks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// newPublisher has a hook that gives always the same answer, in front of a relay
// that accepts everything.
func newPublisher(t *testing.T, status int, answer string) (p *Publisher, passed *[]relay.Publication) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	h, err := hooks.New(hooks.Config{
		BeforeURL: server.URL, Timeout: 5 * time.Second, OnFailure: "deny", Concurrency: 1, Queue: 1,
	}, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	accepting := &accepting{}
	return New(accepting, h.Before, nil, func() int { return 50 }), &accepting.packets
}

// accepting is a relay that accepts everything.
type accepting struct{ packets []relay.Publication }

func (a *accepting) Publish(batch ...*relay.Publication) {
	for _, one := range batch {
		a.packets = append(a.packets, *one)
		one.End(relay.Result{Outcome: relay.Accepted})
	}
}

// sender collects results.
type sender struct{ results []relay.Result }

func (s *sender) Result(_ *relay.Publication, r relay.Result) { s.results = append(s.results, r) }

func TestAcceptedPacketsAreTold(t *testing.T) {
	told := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	t.Cleanup(server.Close)
	h, err := hooks.New(hooks.Config{
		AfterURL: server.URL, Timeout: 5 * time.Second, OnFailure: "deny", Concurrency: 1, Queue: 1,
	}, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Run(ctx) }()
	Tell(h, nil)(&relay.Publication{
		Group: "/a", Kind: stream.Message, UUID: "u", User: "shop", By: stream.Author{Name: "alice"}, Session: 1, Payload: []byte(`{"type":2,"uuid":"u"}`),
	}, relay.Result{Outcome: relay.Accepted, At: 1_800_000_000_123})
	want := `"data":[{"group":"/a","user":"shop","by":"alice","source":"websocket","kind":"data","uuid":"u","packet":"{\"type\":2,\"uuid\":\"u\"}","at":1800000000123}]`
	if got := <-told; !strings.Contains(got, want) {
		t.Errorf("the hook got %s, want %s", got, want)
	}
	cancel()
	<-ended
	if Tell(nil, nil) != nil || Tell(&hooks.Hooks{}, nil) != nil {
		t.Error("got a function without a hook")
	}
}

func TestVerdictsBecomeOutcomes(t *testing.T) {
	const body = `{"type":2,"uuid":"u","body":{}}`
	for _, tt := range []struct {
		name   string
		status int
		answer string
		want   relay.Result
		// What the relay gets; "" is nothing.
		passes string
	}{
		{"allow", 200, `{"action":"allow"}`, relay.Result{Outcome: relay.Accepted}, body},
		{"deny", 200, `{"action":"deny","reason":"no"}`, relay.Result{Outcome: relay.Denied, Reason: "no"}, ""},
		{
			"rewrite", 200, `{"action":"rewrite","packet":"{\"type\":2,\"uuid\":\"u\",\"body\":null}"}`,
			relay.Result{Outcome: relay.Accepted},
			`{"type":2,"uuid":"u","body":null}`,
		},
		{
			"rewrite to something else", 200, `{"action":"rewrite","packet":"hello"}`,
			relay.Result{Outcome: relay.Denied, Reason: "the message was not allowed"},
			"",
		},
		{
			"rewrite to something long", 200, `{"action":"rewrite","packet":"{\"type\":2,\"uuid\":\"u\",\"body\":{\"data\":\"too long for this\"}}"}`,
			relay.Result{Outcome: relay.Denied, Reason: "the message was not allowed"},
			"",
		},
		{"fail", 500, "", relay.Result{Outcome: relay.Unchecked, Reason: "the message cannot be checked now"}, ""},
	} {
		p, passed := newPublisher(t, tt.status, tt.answer)
		got := &sender{}
		p.Publish(&relay.Publication{Group: "/a", Kind: stream.Message, UUID: "u", Payload: []byte(body), From: got})
		if diff := cmp.Diff([]relay.Result{tt.want}, got.results); diff != "" {
			t.Errorf("%s: results (-want +got):\n%s", tt.name, diff)
		}
		through := ""
		for _, one := range *passed {
			through += string(one.Payload)
		}
		if through != tt.passes {
			t.Errorf("%s: the relay got %q, want %q", tt.name, through, tt.passes)
		}
	}
}

func TestAfterAnUncheckedPacketTheRestOfItsGroupIsKeptBack(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "fails") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	h, err := hooks.New(hooks.Config{
		BeforeURL: server.URL, Timeout: 5 * time.Second, OnFailure: "deny", Concurrency: 1, Queue: 9,
	}, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	accepting, got := &accepting{}, &sender{}
	batch := func(group group.Name, texts ...string) (all []*relay.Publication) {
		for _, text := range texts {
			all = append(all, &relay.Publication{Group: group, Kind: stream.Text, Payload: []byte(text), From: got})
		}
		return all
	}
	New(accepting, h.Before, nil, func() int { return 50 }).Publish(append(batch("/a", "1", "fails", "2"), batch("/b", "3")...)...)
	passed := ""
	for _, one := range accepting.packets {
		passed += string(one.Payload)
	}
	var outcomes []relay.Outcome
	for _, r := range got.results {
		outcomes = append(outcomes, r.Outcome)
	}
	if diff := cmp.Diff([]relay.Outcome{relay.Unchecked, relay.Unavailable, relay.Accepted, relay.Accepted}, outcomes); diff != "" || passed != "13" {
		t.Errorf("the relay got %q; outcomes (-want +got):\n%s", passed, diff)
	}
}
