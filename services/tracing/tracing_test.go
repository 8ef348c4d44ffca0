package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/gotapi/gotapi-ws/services/tracing"
)

// collector takes spans over the wire.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	got chan *collectorv1.ExportTraceServiceRequest
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.got <- r
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func startCollector(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{got: make(chan *collectorv1.ExportTraceServiceRequest, 10)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c, "http://" + ln.Addr().String()
}

func TestSpansReachTheCollector(t *testing.T) {
	c, url := startCollector(t)
	provider, stop, err := tracing.Start(t.Context(), tracing.Config{Endpoint: url, Ratio: 1}, "edge", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "a publish")
	span.End()
	stop()
	select {
	case r := <-c.got:
		text := r.String()
		for _, want := range []string{"a publish", "edge", "v1"} {
			if !strings.Contains(text, want) {
				t.Errorf("the collector's request lacks %q: %s", want, text)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
}

func TestTracingIsOffWithoutACollector(t *testing.T) {
	provider, stop, err := tracing.Start(t.Context(), tracing.Config{Ratio: 1}, "edge", "v1", slog.New(slog.DiscardHandler))
	if provider != nil || stop != nil || err != nil {
		t.Errorf("got a provider %v, an end %v, and %v, want none", provider, stop != nil, err)
	}
}

func TestCollectorThatIsAwayDelaysNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	var lines bytes.Buffer
	provider, stop, err := tracing.Start(t.Context(), tracing.Config{Endpoint: "http://" + ln.Addr().String(), Ratio: 1}, "edge", "v1",
		slog.New(slog.NewTextHandler(&lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 { // more than the queue holds
		_, span := provider.Tracer("test").Start(t.Context(), "a publish")
		span.End()
	}
	done := make(chan struct{})
	go func() { stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the end does not come")
	}
	if lines.Len() == 0 {
		t.Error("nothing in the log says that spans were lost")
	}
}

func TestTracesThatBeginHereAreBounded(t *testing.T) {
	c, url := startCollector(t)
	provider, stop, err := tracing.Start(t.Context(), tracing.Config{Endpoint: url, Ratio: 1}, "edge", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sampled := 0
	for i := range 1000 {
		ctx := t.Context()
		if i%2 == 0 { // asked for by a caller
			ctx = tracing.Decode(ctx, bytes.Repeat([]byte{1}, 24))
		}
		ctx, span := provider.Tracer("test").Start(ctx, "a request")
		if span.SpanContext().IsSampled() {
			sampled++
			_, child := provider.Tracer("test").Start(ctx, "a part")
			if !child.SpanContext().IsSampled() {
				t.Error("a part of a trace is missing")
			}
			child.End()
		}
		span.End()
	}
	stop()
	for len(c.got) > 0 {
		<-c.got
	}
	if sampled < 100 || sampled > 300 { // 100 at once, and as many a second
		t.Errorf("%d traces began, want about 100", sampled)
	}
}

func TestSpansSurviveTheWire(t *testing.T) {
	want := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	got := trace.SpanContextFromContext(tracing.Decode(t.Context(), tracing.Encode(want)))
	if !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if b := tracing.Encode(want.WithTraceFlags(0)); b != nil {
		t.Errorf("a span that is not sampled becomes %v, want nothing", b)
	}
	for _, bad := range [][]byte{nil, {1}, make([]byte, 23), make([]byte, 25)} {
		if trace.SpanContextFromContext(tracing.Decode(t.Context(), bad)).IsValid() {
			t.Errorf("%v is taken for a span", bad)
		}
	}
}

func TestLogNamesTheTrace(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(tracing.Log(slog.NewTextHandler(&lines, nil))).With("a", 1)
	log.InfoContext(t.Context(), "outside")
	ctx := tracing.Decode(t.Context(), bytes.Repeat([]byte{0xab}, 24))
	log.InfoContext(ctx, "inside")
	if n := strings.Count(lines.String(), "trace_id="); n != 1 || !strings.Contains(lines.String(), "msg=inside a=1 trace_id="+strings.Repeat("ab", 16)) {
		t.Errorf("got %s", lines.String())
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, c := range []tracing.Config{{Endpoint: "localhost:4317"}, {Endpoint: "ftp://a"}, {Endpoint: "http://"}, {Ratio: 2}, {Ratio: -1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for _, c := range []tracing.Config{{}, {Endpoint: "http://127.0.0.1:4317", Ratio: 1}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
