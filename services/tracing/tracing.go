// Package tracing sends spans of a sample of what a process does to an
// OpenTelemetry collector. It is off unless an endpoint is set; then there is no
// tracer, and nothing is to be paid for.
//
// Spans wait in a bounded queue and are dropped when the collector does not take
// them: tracing delays nothing.
package tracing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// stopTimeout is how long the last spans may take to be sent.
const stopTimeout = 3 * time.Second

// Config reports whether and where to send spans.
type Config struct {
	// URL of a collector that takes OTLP over gRPC; "": no tracing.
	Endpoint string
	// The share of traces that are kept, 0 to 1.
	Ratio float64
}

// RegisterFlags defines -trace-endpoint and -trace-ratio.
func (c *Config) RegisterFlags(fs *flag.FlagSet) {
	fs.StringVar(&c.Endpoint, "trace-endpoint", "",
		"`URL` of an OpenTelemetry collector (OTLP over gRPC), such as http://127.0.0.1:4317; https: TLS; if unset, off")
	fs.Float64Var(&c.Ratio, "trace-ratio", 0.01,
		"`share` of publications and requests to trace, 0 to 1; a traceparent header decides for its request;\nat most 100 traces begin per second")
}

// Validate checks the settings. Its error is one line.
func (c *Config) Validate() error {
	u, err := url.Parse(c.Endpoint)
	switch {
	case c.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
		return errors.New("-trace-endpoint: not a URL such as http://127.0.0.1:4317")
	case !(c.Ratio >= 0 && c.Ratio <= 1):
		return errors.New("-trace-ratio: not from 0 to 1")
	}
	return nil
}

// Start returns the provider of tracers, and a function that sends the last spans and stops
// it. Both are nil when tracing is off.
func Start(ctx context.Context, c Config, service, version string, log *slog.Logger) (_ trace.TracerProvider, stop func(), err error) {
	if c.Endpoint == "" {
		return nil, nil, nil
	}
	// It connects when there is something to send.
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(c.Endpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("-trace-endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("cannot send spans", "error", err)
	}))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(NewSampler(c.Ratio)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", service), attribute.String("service.version", version),
		)),
	)
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.WarnContext(ctx, "cannot send the last spans", "error", err)
		}
	}, nil
}
