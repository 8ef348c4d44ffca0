package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// encodedBytes is the size of what Encode returns: the ids of a trace and a span.
const encodedBytes = len(trace.TraceID{}) + len(trace.SpanID{})

// Encode returns a span for a message to another service; nil if it is not sampled.
func Encode(s trace.SpanContext) []byte {
	if !s.IsValid() || !s.IsSampled() {
		return nil
	}
	traceID, spanID := s.TraceID(), s.SpanID()
	return append(append(make([]byte, 0, encodedBytes), traceID[:]...), spanID[:]...)
}

// Decode returns ctx with the span that Encode was given; ctx itself if b is
// anything else.
func Decode(ctx context.Context, b []byte) context.Context {
	if len(b) != encodedBytes {
		return ctx
	}
	c := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled, Remote: true}
	copy(c.TraceID[:], b)
	copy(c.SpanID[:], b[len(c.TraceID):])
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(c))
}

// Log returns a handler that adds trace_id to records that were made within a trace.
func Log(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
