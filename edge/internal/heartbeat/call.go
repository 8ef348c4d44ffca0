package heartbeat

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxTries bounds how often a unary call is made: each time, another service
// fell silent over it.
const maxTries = 3

// ErrSilent says that a call or stream was taken away from a service that had
// fallen silent. It is a gRPC status: Unavailable.
var ErrSilent = status.Error(codes.Unavailable, "the history service does not answer, and another one does")

// call is a call under way, which can be taken away.
type call struct{ cancel context.CancelCauseFunc }

type callKey struct{}

// callOf is nil for calls of others than the interceptors.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func cutAll(calls []*call) {
	for _, c := range calls {
		c.cancel(ErrSilent)
	}
}

// begin returns a context under which a call can be taken away, and what frees it.
func begin(ctx context.Context) (cutable context.Context, end context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, callKey{}, &call{cancel}), func() { cancel(nil) }
}

// wasCut says whether a call under ctx, which begin made, was taken away.
func wasCut(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrSilent) }

// Unary is an interceptor: calls that are taken away are made again.
func Unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for try := 1; ; try++ {
		attempt, end := begin(ctx)
		err := invoke(attempt, method, req, reply, cc, opts...)
		cut := err != nil && wasCut(attempt)
		end()
		if !cut {
			return err
		}
		if try == maxTries {
			return ErrSilent
		}
	}
}

// Stream is an interceptor: streams that are taken away end with ErrSilent.
func Stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	cutable, end := begin(ctx)
	s, err := open(cutable, desc, cc, method, append(opts, grpc.OnFinish(func(error) { end() }))...)
	if err != nil {
		end()
		return nil, err
	}
	return &stream{s, cutable}, nil
}

// stream knows why it ended.
type stream struct {
	grpc.ClientStream
	cutable context.Context //nolint:containedctx // it has the cause of the end
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && wasCut(s.cutable) {
		return ErrSilent
	}
	return err
}
