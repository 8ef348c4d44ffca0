package tracing

import (
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Bounds of the traces that begin here: callers may send traceparent with every request.
const (
	tracesPerSecond = 100
	traceBurst      = 100
)

// NewSampler returns a sampler that keeps a share of the traces that begin here, and those
// that their caller keeps. Together it keeps at most tracesPerSecond.
func NewSampler(ratio float64) sdktrace.Sampler {
	return bounded{
		Sampler: sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)),
		limit:   rate.NewLimiter(tracesPerSecond, traceBurst),
	}
}

type bounded struct {
	sdktrace.Sampler
	limit *rate.Limiter
}

// ShouldSample implements sdktrace.Sampler.
func (b bounded) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := b.Sampler.ShouldSample(p)
	parent := trace.SpanContextFromContext(p.ParentContext)
	begins := !parent.IsValid() || parent.IsRemote()
	if result.Decision == sdktrace.RecordAndSample && begins && !b.limit.Allow() {
		result.Decision = sdktrace.Drop
	}
	return result
}
