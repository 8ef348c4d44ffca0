package standalone_test

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gotapi/gotapi-ws/edge"
	"github.com/gotapi/gotapi-ws/historysvc"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// startTraced runs the two services, apart, with a tracer of that ratio. It
// returns the address of the edge, and what was recorded.
func startTraced(t *testing.T, ratio float64) (addr string, spans *tracetest.SpanRecorder) {
	t.Helper()
	spans = tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(tracing.NewSampler(ratio)))

	var history historysvc.Config
	history.RegisterFlags(flag.NewFlagSet("historysvc", flag.ContinueOnError))
	history.Listen, history.Redis, history.Embedded = "127.0.0.1:0", "redis://"+miniredis.RunT(t).Addr()+"/0", true
	history.Tracing = provider
	ready := make(chan net.Addr, 1)
	history.OnReady = func(a net.Addr) { ready <- a }
	serve(t, func(ctx context.Context) error {
		return historysvc.Run(ctx, history, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	})

	var face edge.Config
	face.RegisterFlags(flag.NewFlagSet("edge", flag.ContinueOnError))
	face.Listen, face.History, face.Drain, face.Tracing = "127.0.0.1:0", await(t, ready).String(), 10*time.Millisecond, provider
	face.OnReady = history.OnReady
	serve(t, func(ctx context.Context) error {
		return edge.Run(ctx, face, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	})
	return await(t, ready).String(), spans
}

// tree returns the spans of a trace, each with the names of those above it,
// sorted and each once, when there are that many.
func tree(t *testing.T, spans *tracetest.SpanRecorder, traceID string, want int) (all []string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ended := slices.DeleteFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool {
			return s.SpanContext().TraceID().String() != traceID
		})
		all = nil
		for _, s := range ended {
			all = append(all, pathOf(s, ended))
		}
		slices.Sort(all)
		// A script that Redis has forgotten is sent a second time.
		if all = slices.Compact(all); len(all) >= want {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("got spans %q, want %d", all, want)
		}
	}
}

func pathOf(s sdktrace.ReadOnlySpan, all []sdktrace.ReadOnlySpan) string {
	if !s.Parent().IsValid() {
		return s.Name()
	}
	for _, above := range all {
		if above.SpanContext().SpanID() == s.Parent().SpanID() {
			return pathOf(above, all) + " > " + s.Name()
		}
	}
	return "caller > " + s.Name()
}

const callersTrace = "0af7651916cd43dd8448eb211c80319c"

// send makes a request within the caller's trace, and returns the answer's header.
func send(t *testing.T, method, url, body, sampled string) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", "00-"+callersTrace+"-b7ad6b7169203331-"+sampled)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header
}

func TestTraceGoesFromTheCallerToRedis(t *testing.T) {
	t.Parallel()
	addr, spans := startTraced(t, 0)
	h := send(t, http.MethodPost, "http://"+addr+"/a", data, "01")
	want := []string{
		"caller > POST group",
		"caller > POST group > publish",
		"caller > POST group > publish > relay publish",
		"caller > POST group > publish > relay publish > redis append",
	}
	if diff := cmp.Diff(want, tree(t, spans, callersTrace, len(want))); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if got := h.Get("Trace-Id"); got != callersTrace {
		t.Errorf("got Trace-Id %q, want the caller's", got)
	}
	for _, s := range spans.Ended() {
		if strings.Contains(cmp.Diff(nil, s.Attributes()), "hello world") {
			t.Errorf("%s: the message's text is in the trace", s.Name())
		}
	}

	const get = "gotapi.history.v1.HistoryService/GetHistory"
	for query, asks := range map[string]string{"groupName=/a": "redis command", "groupName=/a&size=10": "redis command"} {
		spans.Reset()
		send(t, http.MethodGet, "http://"+addr+"/__/history?"+query, "", "01")
		want = []string{
			"caller > GET history",
			"caller > GET history > " + get,
			"caller > GET history > " + get + " > " + get,
			"caller > GET history > " + get + " > " + get + " > " + asks,
		}
		if diff := cmp.Diff(want, tree(t, spans, callersTrace, len(want))); diff != "" {
			t.Errorf("%s: spans (-want +got):\n%s", query, diff)
		}
	}

	if _, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/a{", http.Header{
		"Traceparent": {"00-" + callersTrace + "-b7ad6b7169203331-00"},
	}); err == nil || resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Trace-Id") != callersTrace {
		t.Errorf("a refused upgrade: got %v and %v, want 400 with the caller's Trace-Id", resp, err)
	}

	// The sampler keeps what the caller keeps, and nothing else.
	spans.Reset()
	send(t, http.MethodPost, "http://"+addr+"/a", data, "00")
	if h := send(t, http.MethodPost, "http://"+addr+"/a", "", "00"); h.Get("Trace-Id") != callersTrace {
		t.Errorf("an error has Trace-Id %q, want the caller's", h.Get("Trace-Id"))
	}
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("%d spans of traces that nobody keeps", n)
	}
}

func TestPublicationOnAWebSocketIsATrace(t *testing.T) {
	t.Parallel()
	addr, spans := startTraced(t, 1)
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.WriteMessage(websocket.TextMessage, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadMessage(); err != nil { // the ack
		t.Fatal(err)
	}
	var root string
	for deadline := time.Now().Add(10 * time.Second); root == ""; time.Sleep(time.Millisecond) {
		for _, s := range spans.Ended() {
			if s.Name() == "publish" {
				root = s.SpanContext().TraceID().String()
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("no span of the publication")
		}
	}
	want := []string{"publish", "publish > relay publish", "publish > relay publish > redis append"}
	if diff := cmp.Diff(want, tree(t, spans, root, len(want))); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestWithoutTracingThereIsNoTraceID(t *testing.T) {
	t.Parallel()
	s := start(t)
	if h := send(t, http.MethodPost, "http://"+s.http+"/a", "", "01"); h.Get("Trace-Id") != "" {
		t.Errorf("got Trace-Id %q, want none", h.Get("Trace-Id"))
	}
}
