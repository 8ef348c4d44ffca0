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

// tracer is nil when nothing is traced.
func (c *Config) tracer() trace.Tracer {
	if c.Tracing == nil {
		return nil
	}
	return c.Tracing.Tracer("github.com/gotapi/gotapi-ws/edge")
}

// tracedCalls are how calls of history services carry a trace. The stream of the
// relay is not one of them: each of its publications carries its own.
func (c *Config) tracedCalls() []grpc.DialOption {
	if c.Tracing == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(c.Tracing),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool {
			return strings.HasPrefix(i.FullMethodName, "/"+historyv1.HistoryService_ServiceDesc.ServiceName+"/")
		}),
	))}
}
