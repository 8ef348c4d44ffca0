package edge

import (
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// tracer returns nil when nothing is traced.
func (c *Config) tracer() trace.Tracer {
	if c.Tracing == nil {
		return nil
	}
	return c.Tracing.Tracer("github.com/gotapi/gotapi-ws/edge")
}

// withTracing makes calls of history services carry a trace, if anything is traced.
// The stream of the relay carries none: each of its publications has its own.
func withTracing(provider trace.TracerProvider) []grpc.DialOption {
	if provider == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(provider),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool {
			return strings.HasPrefix(i.FullMethodName, "/"+historyv1.HistoryService_ServiceDesc.ServiceName+"/")
		}),
	))}
}
