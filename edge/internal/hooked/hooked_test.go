package hooked

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/hooks"
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
	passed = new([]relay.Publication)
	return New(func(one *relay.Publication) {
		*passed = append(*passed, *one)
		one.Done(relay.Receipt{Outcome: relay.Accepted})
	}, h, func() int { return 50 }, slog.New(slog.DiscardHandler)), passed
}

func TestVerdictsBecomeOutcomes(t *testing.T) {
	const body = `{"type":2,"uuid":"u","body":{}}`
	for _, tt := range []struct {
		name   string
		status int
		answer string
		want   relay.Receipt
		// What the relay gets; "" is nothing.
		passes string
	}{
		{"allow", 200, `{"action":"allow"}`, relay.Receipt{Outcome: relay.Accepted}, body},
		{"deny", 200, `{"action":"deny","reason":"no"}`, relay.Receipt{Outcome: relay.Denied, Reason: "no"}, ""},
		{
			"rewrite", 200, `{"action":"rewrite","packet":"{\"type\":2,\"uuid\":\"u\",\"body\":null}"}`,
			relay.Receipt{Outcome: relay.Accepted},
			`{"type":2,"uuid":"u","body":null}`,
		},
		{
			"rewrite to something else", 200, `{"action":"rewrite","packet":"hello"}`,
			relay.Receipt{Outcome: relay.Denied, Reason: "the message was not allowed"},
			"",
		},
		{
			"rewrite to something long", 200, `{"action":"rewrite","packet":"{\"type\":2,\"uuid\":\"u\",\"body\":{\"data\":\"too long for this\"}}"}`,
			relay.Receipt{Outcome: relay.Denied, Reason: "the message was not allowed"},
			"",
		},
		{"fail", 500, "", relay.Receipt{Outcome: relay.Unavailable, Reason: "the message cannot be checked now"}, ""},
	} {
		p, passed := newPublisher(t, tt.status, tt.answer)
		var got []relay.Receipt
		p.Publish(&relay.Publication{
			Group: "/a", Kind: stream.Message, UUID: "u", Payload: []byte(body),
			Done: func(r relay.Receipt) { got = append(got, r) },
		})
		if diff := cmp.Diff([]relay.Receipt{tt.want}, got); diff != "" {
			t.Errorf("%s: receipts (-want +got):\n%s", tt.name, diff)
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
