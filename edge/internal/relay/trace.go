package relay

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gotapi/gotapi-ws/services/tracing"
)

// span is the trace of one publication.
type span struct {
	trace.Span
	// As the history service gets it.
	encoded []byte
}

// Follow makes a span of p, from now until its result, if it is sampled. It is
// called before p is published. A nil tracer does nothing.
func (p *Publication) Follow(ctx context.Context, tracer trace.Tracer) {
	if tracer == nil {
		return
	}
	_, s := tracer.Start(ctx, "publish", trace.WithSpanKind(trace.SpanKindProducer))
	if !s.IsRecording() {
		return
	}
	s.SetAttributes(attribute.String("gotapi.group", string(p.Group)), attribute.Int("gotapi.bytes", len(p.Payload)))
	p.span = &span{Span: s, encoded: tracing.Encode(s.SpanContext())}
}

// wire returns what the history service gets; nil if there is no span.
func (s *span) wire() []byte {
	if s == nil {
		return nil
	}
	return s.encoded
}

func (s *span) end(r Result) {
	if s == nil {
		return
	}
	s.SetAttributes(attribute.String("gotapi.outcome", outcomes[r.Outcome]))
	if r.Outcome != Accepted && r.Outcome != Duplicate {
		s.SetStatus(codes.Error, r.Reason)
	}
	s.End()
}
