package historysvc

import (
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// tracer is nil when nothing is traced.
func (c *Config) tracer() trace.Tracer {
	if c.Tracing == nil {
		return nil
	}
	return c.Tracing.Tracer("github.com/gotapi/gotapi-ws/historysvc")
}

// tracedMethods have a span for each call. Streams have spans of the packets that
// they carry.
var tracedMethods = map[string]bool{
	historyv1.HistoryService_Publish_FullMethodName:    true,
	historyv1.HistoryService_GetHistory_FullMethodName: true,
	historyv1.HistoryService_Cancel_FullMethodName:     true,
	historyv1.HistoryService_SetTTL_FullMethodName:     true,
	historyv1.HistoryService_ListGroups_FullMethodName: true,
	adminv1.AdminService_GetGroup_FullMethodName:       true,
	adminv1.AdminService_Purge_FullMethodName:          true,
}

// tracedCalls returns the options that make spans of calls. The spans belong to the
// caller's trace, if it has one (metadata traceparent).
func (c *Config) tracedCalls() []grpc.ServerOption {
	if c.Tracing == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(c.Tracing),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return tracedMethods[i.FullMethodName] }),
	))}
}
