package standalone

import (
	"context"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// shortcutFrames bounds the frames that wait in each direction of a stream; beyond
// that, the sender waits. A frame has up to 256 KiB of packets, or one larger packet.
const shortcutFrames = 2

// shortcut passes the frames of the relay on as they are. gRPC would encode them and
// pass them through six goroutines and a pipe, a tenth of what a message costs. In
// everything else the streams behave like gRPC's.
//
// A frame, and everything it refers to, must not change once it is sent.
type shortcut struct{ opened chan *stream }

func newShortcut() *shortcut { return &shortcut{opened: make(chan *stream)} }

// serve hands the streams that the edge opens to relay until ctx ends. Then it waits
// for the handlers.
func (s *shortcut) serve(ctx context.Context, relay relayv1.RelayServiceServer) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for {
		select {
		case opened := <-s.opened:
			handlers.Go(func() { opened.end(relay.Connect(&serviceEnd{opened})) })
		case <-ctx.Done():
			return nil
		}
	}
}

// intercept opens the relay's streams; they wait until the service serves. It is a
// grpc.StreamClientInterceptor.
func (s *shortcut) intercept(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if method != relayv1.RelayService_Connect_FullMethodName {
		return open(ctx, desc, cc, method, opts...)
	}
	opened := newStream(ctx)
	select {
	case s.opened <- opened:
		return &edgeEnd{stream: opened}, nil
	case <-ctx.Done():
		opened.cancel()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// stream is the common part of both ends of a stream.
type stream struct {
	ctx    context.Context //nolint:containedctx // a gRPC stream has one
	cancel context.CancelFunc
	// Requests and responses under way. The edge closes up when it has sent all.
	up   chan *relayv1.ConnectRequest
	down chan *relayv1.ConnectResponse
	// Closed when the handler has returned err; io.EOF stands for nil.
	ended chan struct{}
	err   error
}

func newStream(ctx context.Context) *stream {
	s := &stream{
		up:    make(chan *relayv1.ConnectRequest, shortcutFrames),
		down:  make(chan *relayv1.ConnectResponse, shortcutFrames),
		ended: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

func (s *stream) end(err error) {
	s.err = io.EOF
	if err != nil {
		s.err = statusError(err)
	}
	close(s.ended)
	s.cancel()
}

// statusError returns the error that gRPC makes of a handler's.
func statusError(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}

// Context implements grpc.ClientStream and grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// edgeEnd is a grpc.ClientStream.
type edgeEnd struct {
	*stream
	closed bool
}

func (*edgeEnd) Header() (metadata.MD, error) { return nil, nil }

func (*edgeEnd) Trailer() metadata.MD { return nil }

// CloseSend is not called at the same time as SendMsg.
func (e *edgeEnd) CloseSend() error {
	if !e.closed {
		e.closed = true
		close(e.up)
	}
	return nil
}

// SendMsg returns io.EOF when the stream is over; RecvMsg says why.
func (e *edgeEnd) SendMsg(m any) error {
	frame, ok := m.(*relayv1.ConnectRequest)
	if !ok || e.closed {
		return status.Errorf(codes.Internal, "a %T cannot be sent here, or not any more", m)
	}
	select {
	case e.up <- frame:
		return nil
	case <-e.ctx.Done():
		return io.EOF
	}
}

func (e *edgeEnd) RecvMsg(m any) error {
	to, ok := m.(*relayv1.ConnectResponse)
	if !ok {
		return status.Errorf(codes.Internal, "a %T is not what is received here", m)
	}
	frame, err := e.next()
	if err != nil {
		return err
	}
	to.Received, to.MayMove = frame.Received, frame.MayMove
	to.Attached, to.Results, to.Deliveries = frame.Attached, frame.Results, frame.Deliveries
	return nil
}

// next returns the next frame that the service has sent, and after the last one the
// error with which the stream ended.
func (e *edgeEnd) next() (*relayv1.ConnectResponse, error) {
	select {
	case frame := <-e.down:
		return frame, nil
	case <-e.ctx.Done():
	}
	select {
	case <-e.ended:
	default: // the edge has cancelled the stream and does not wait for the service
		return nil, status.FromContextError(e.ctx.Err()).Err()
	}
	select {
	case frame := <-e.down:
		return frame, nil
	default:
		return nil, e.err
	}
}

// serviceEnd is a relayv1.RelayService_ConnectServer.
type serviceEnd struct{ *stream }

func (*serviceEnd) SetHeader(metadata.MD) error { return nil }

func (*serviceEnd) SendHeader(metadata.MD) error { return nil }

func (*serviceEnd) SetTrailer(metadata.MD) {}

func (s *serviceEnd) Recv() (*relayv1.ConnectRequest, error) {
	select {
	case frame, open := <-s.up:
		if !open {
			return nil, io.EOF
		}
		return frame, nil
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *serviceEnd) Send(frame *relayv1.ConnectResponse) error {
	select {
	case s.down <- frame:
		return nil
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// RecvMsg and SendMsg are part of the interface only: Recv and Send are used.
func (*serviceEnd) RecvMsg(m any) error { return fmt.Errorf("RecvMsg(%T): use Recv", m) }

func (*serviceEnd) SendMsg(m any) error { return fmt.Errorf("SendMsg(%T): use Send", m) }
