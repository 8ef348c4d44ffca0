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

// shortcutFrames is how many frames wait in each direction of a stream; then the
// sender waits, too. A frame has up to 256 KiB of packets, or one larger packet.
const shortcutFrames = 2

// shortcut hands the frames of the relay over as they are, where gRPC would encode
// them, and pass them through six goroutines and a pipe: a tenth of what a
// message costs. Everything else about the stream is as gRPC has it.
//
// Frames, and all that they refer to, are not changed once they are sent.
type shortcut struct {
	// Closed when there is a relay.
	offered chan struct{}
	relay   relayv1.RelayServiceServer
	// The service's ends of the streams.
	handlers sync.WaitGroup
}

func newShortcut() *shortcut { return &shortcut{offered: make(chan struct{})} }

// offer is called once, with the service that streams lead to. Until then they wait.
func (s *shortcut) offer(relay relayv1.RelayServiceServer) {
	s.relay = relay
	close(s.offered)
}

// serve waits for what streams leave behind. The part that opens them ends earlier.
func (s *shortcut) serve(ctx context.Context) error {
	<-ctx.Done()
	s.handlers.Wait()
	return nil
}

// intercept opens the relay's streams. It is a grpc.StreamClientInterceptor.
func (s *shortcut) intercept(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if method != relayv1.RelayService_Connect_FullMethodName {
		return open(ctx, desc, cc, method, opts...)
	}
	select {
	case <-s.offered:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	both := newStream(ctx)
	s.handlers.Go(func() { both.end(s.relay.Connect(&serviceEnd{both})) })
	return &edgeEnd{stream: both}, nil
}

// stream is what both ends of a stream have in common.
type stream struct {
	ctx    context.Context //nolint:containedctx // a gRPC stream has one
	cancel context.CancelFunc
	// Requests and responses under way. The edge closes up.
	up   chan *relayv1.ConnectRequest
	down chan *relayv1.ConnectResponse
	// Closed when the service has returned err; io.EOF if all is well.
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

// statusError is what gRPC makes of the error of a handler.
func statusError(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}

// Context is part of both ends' interfaces.
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
	to.Received, to.DeliveriesAnswer = frame.Received, frame.DeliveriesAnswer
	to.Attached, to.Results, to.Deliveries = frame.Attached, frame.Results, frame.Deliveries
	return nil
}

// next returns what the service has sent, also before it ended, and then how it
// ended.
func (e *edgeEnd) next() (*relayv1.ConnectResponse, error) {
	select {
	case frame := <-e.down:
		return frame, nil
	case <-e.ctx.Done():
	}
	select {
	case <-e.ended:
	default: // the edge has given up, and does not wait for the service
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

// RecvMsg and SendMsg are there for the interface: the typed ones are used.
func (*serviceEnd) RecvMsg(m any) error { return fmt.Errorf("RecvMsg(%T): use Recv", m) }

func (*serviceEnd) SendMsg(m any) error { return fmt.Errorf("SendMsg(%T): use Send", m) }
