package rpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/services/tracing"
)

// followRelayed makes a span of an edge's publication that is traced, until it is
// answered. A nil tracer does nothing.
func followRelayed(tracer trace.Tracer, encoded []byte, p *history.Publication) {
	if tracer == nil || len(encoded) == 0 {
		return
	}
	ctx, span := tracer.Start(tracing.Decode(context.Background(), encoded), "relay publish",
		trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return
	}
	followAttempts(ctx, tracer, p)
	done := p.Done
	p.Done = func(r history.Receipt) {
		if r.Err != nil {
			span.SetStatus(codes.Error, reasonOf(r.Err))
		}
		span.SetAttributes(attribute.Bool("gotapi.duplicate", r.Duplicate))
		span.End()
		done(r)
	}
}

// followAttempts makes spans of p's ways to the store, if ctx has a span that is
// sampled.
func followAttempts(ctx context.Context, tracer trace.Tracer, p *history.Publication) {
	if tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	p.Attempt = func(began time.Time, packets int, err error) {
		_, span := tracer.Start(ctx, "redis append", trace.WithTimestamp(began),
			trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.Int("gotapi.pipeline_packets", packets)))
		if err != nil {
			span.SetStatus(codes.Error, "the store gave no usable answer")
		}
		span.End()
	}
}
