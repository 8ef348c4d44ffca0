package gateway

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceHeader tells a caller under which id the request is traced, or would be.
const traceHeader = "Trace-Id"

var traceContext propagation.TraceContext

// startSpan starts a span for a request, in the caller's trace if there is a header
// traceparent. The answer names the trace. end ends the span, with the status of the
// answer; 0 if that is not known.
func (h *Handler) startSpan(endpoint string, w http.ResponseWriter, r *http.Request) (_ *http.Request, end func(code int)) {
	if h.backends.Tracer == nil {
		return r, func(int) {}
	}
	ctx := traceContext.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := h.backends.Tracer.Start(ctx, r.Method+" "+endpoint, trace.WithSpanKind(trace.SpanKindServer))
	w.Header().Set(traceHeader, span.SpanContext().TraceID().String())
	return r.WithContext(ctx), func(code int) {
		if code != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", code))
		}
		if code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(code))
		}
		span.End()
	}
}
