package historysvc

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/tap"

	"github.com/gotapi/gotapi-ws/access/grpcstatus"
	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
)

// methods are unary methods that are served as streams of one message each way, which
// is the same on the wire. gRPC reads the request of a unary call before it asks an
// interceptor; a stream's interceptor comes first, so nobody without the right to call
// makes the service hold a part of a request.
type methods struct {
	// Comes before the request is read. gRPC calls it for real streams only.
	before grpc.StreamServerInterceptor
	// Comes when the request has been read.
	after grpc.UnaryServerInterceptor
	// Closes the connection of a caller that does not take its answer.
	hangUp func(net.Addr)
	names  map[string]bool
}

func newMethods(before grpc.StreamServerInterceptor, after grpc.UnaryServerInterceptor, hangUp func(net.Addr)) *methods {
	return &methods{before: before, after: after, hangUp: hangUp, names: make(map[string]bool)}
}

// of returns the description of a service without unary methods.
func (m *methods) of(service *grpc.ServiceDesc) *grpc.ServiceDesc {
	changed := *service
	changed.Methods, changed.Streams = nil, append([]grpc.StreamDesc(nil), service.Streams...)
	for _, method := range service.Methods {
		name := "/" + service.ServiceName + "/" + method.MethodName
		m.names[name] = true
		changed.Streams = append(changed.Streams, grpc.StreamDesc{
			StreamName: method.MethodName,
			Handler:    m.handler(name, method),
		})
	}
	return &changed
}

func (m *methods) handler(name string, method grpc.MethodDesc) grpc.StreamHandler {
	info := &grpc.StreamServerInfo{FullMethod: name}
	return func(srv any, stream grpc.ServerStream) error {
		call := stream.Context() // that of callers may end earlier, with their credential
		return m.before(srv, stream, info, func(srv any, stream grpc.ServerStream) error {
			return m.serve(call, srv, stream, method)
		})
	}
}

func (m *methods) serve(call context.Context, srv any, stream grpc.ServerStream, method grpc.MethodDesc) error {
	request := func(v any) error { return receive(stream, v) }
	ctx, answer := rpc.WithAnswer(stream.Context())
	defer answer.Release()
	response, err := method.Handler(srv, ctx, request, m.after)
	if err != nil {
		return err
	}
	if !answer.Occupies() {
		return stream.SendMsg(response)
	}
	return sendAndWait(call, stream, response, m.hangUp)
}

func receive(stream grpc.ServerStream, request any) error {
	err := stream.RecvMsg(request)
	if errors.Is(err, io.EOF) {
		return grpcstatus.Error(codes.InvalidArgument, "NO_REQUEST", "the call has no request")
	}
	return err
}

// limitTime is a tap.ServerInHandle: it ends calls after maxCallTime, also those whose
// request never comes.
func (m *methods) limitTime(ctx context.Context, call *tap.Info) (context.Context, error) {
	if !m.names[call.FullMethodName] {
		return ctx, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxCallTime, errCallTime)
	context.AfterFunc(ctx, cancel) // with the stream
	return ctx, nil
}

// chain makes one interceptor of two.
func chain(first, second grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return first(ctx, request, info, func(ctx context.Context, request any) (any, error) {
			return second(ctx, request, info, handler)
		})
	}
}
