package relay

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/services/tracing"
)

// Follow makes a span of p, from now until it is answered, if it is sampled; it
// is called before Publish. A nil tracer does nothing.
func (p *Publication) Follow(ctx context.Context, tracer trace.Tracer) {
	if tracer == nil {
		return
	}
	_, span := tracer.Start(ctx, "publish", trace.WithSpanKind(trace.SpanKindProducer))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("gotapi.group", string(p.Group)), attribute.Int("gotapi.bytes", len(p.Payload)))
	p.Trace = tracing.Encode(span.SpanContext())
	done := p.Done
	p.Done = func(r Receipt) {
		span.SetAttributes(attribute.String("gotapi.outcome", outcomes[r.Outcome]))
		if r.Outcome != Accepted && r.Outcome != Duplicate {
			span.SetStatus(codes.Error, r.Reason)
		}
		span.End()
		done(r)
	}
}
