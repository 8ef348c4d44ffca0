package historyconn

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

// ErrSilent means that a call or stream was cancelled because its service had fallen
// silent. It is a gRPC status: Unavailable.
var ErrSilent = status.Error(codes.Unavailable, "the history service does not answer, but another one does")

// call is a call under way.
type call struct{ cancel context.CancelCauseFunc }

type callKey struct{}

// callOf returns nil for calls that did not come through the interceptors.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func cancelAll(calls []*call) {
	for _, c := range calls {
		c.cancel(ErrSilent)
	}
}

// begin returns a context under which a call can be cancelled with ErrSilent, and what
// frees it.
func begin(ctx context.Context) (cancellable context.Context, end context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return context.WithValue(ctx, callKey{}, &call{cancel}), func() { cancel(nil) }
}

// wasSilent reports whether a call under ctx, which begin made, was cancelled with
// ErrSilent.
func wasSilent(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrSilent) }

// retryUnary is an interceptor: it makes calls again that end with ErrSilent.
func retryUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for try := 1; ; try++ {
		attempt, end := begin(ctx)
		err := invoke(attempt, method, req, reply, cc, opts...)
		silent := err != nil && wasSilent(attempt)
		end()
		if !silent {
			return err
		}
		if try == maxTries {
			return ErrSilent
		}
	}
}

// cancelStream is an interceptor: streams of silent services end with ErrSilent.
func cancelStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	cancellable, end := begin(ctx)
	s, err := open(cancellable, desc, cc, method, append(opts, grpc.OnFinish(func(error) { end() }))...)
	if err != nil {
		end()
		return nil, err
	}
	return &stream{s, cancellable}, nil
}

// stream knows why it ended.
type stream struct {
	grpc.ClientStream
	cancellable context.Context //nolint:containedctx // it has the cause of the end
}

// RecvMsg implements grpc.ClientStream.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && wasSilent(s.cancellable) {
		return ErrSilent
	}
	return err
}
