package rpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
)

// TraceAttempts makes a span of each attempt to carry p to the store, if ctx has a
// span that is sampled. A nil tracer does nothing.
func TraceAttempts(ctx context.Context, tracer trace.Tracer, p *history.Publication) {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	p.Trace = attempts{ctx, tracer}
}

// attempts is a history.Trace that makes spans.
type attempts struct {
	ctx    context.Context //nolint:containedctx // it has the parent of the spans
	tracer trace.Tracer
}

// Attempted implements history.Trace.
func (a attempts) Attempted(began time.Time, packets int, err error) {
	_, span := a.tracer.Start(a.ctx, "redis append", trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.Int("gotapi.pipeline_packets", packets)))
	if err != nil {
		span.SetStatus(codes.Error, "store call failed")
	}
	span.End()
}
