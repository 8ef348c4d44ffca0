package standalone

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// connect is a service that does as a test wants.
type connect struct {
	relayv1.UnimplementedRelayServiceServer
	do func(relayv1.RelayService_ConnectServer) error
}

func (c connect) Connect(s relayv1.RelayService_ConnectServer) error { return c.do(s) }

// open opens a stream to a service that does as told. In a bubble, the test ends
// well only if nothing of it is left.
func open(ctx context.Context, t *testing.T, do func(relayv1.RelayService_ConnectServer) error) relayv1.RelayService_ConnectClient {
	t.Helper()
	cut := newShortcut()
	go cut.serve(t.Context(), connect{do: do}) //nolint:errcheck // nil
	s, err := dialed(cut).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dialed makes clients whose streams take the shortcut; there is no other way.
func dialed(cut *shortcut) relayv1.RelayServiceClient {
	return relayv1.NewRelayServiceClient(onlyStreams{cut})
}

type onlyStreams struct{ cut *shortcut }

func (onlyStreams) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return errors.New("no unary calls")
}

func (o onlyStreams) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return o.cut.intercept(ctx, desc, nil, method, func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, errGRPC
	}, opts...)
}

var errGRPC = errors.New("it went over gRPC")

// filled is a message with something in each of its fields, also those that were
// added after this test.
func filled[M proto.Message](m M) M {
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.IsList() && f.Message() != nil:
			r.Mutable(f).List().AppendMutable()
		case f.Message() != nil:
			r.Mutable(f)
		case f.Kind() == protoreflect.BoolKind:
			r.Set(f, protoreflect.ValueOfBool(true))
		case f.Kind() == protoreflect.Uint64Kind:
			r.Set(f, protoreflect.ValueOfUint64(7))
		default:
			panic("teach filled about " + f.FullName())
		}
	}
	return m
}

func TestShortcutCarriesEveryFieldBothWays(t *testing.T) {
	request, response := filled(&relayv1.ConnectRequest{}), filled(&relayv1.ConnectResponse{})
	synctest.Test(t, func(t *testing.T) {
		s := open(t.Context(), t, func(s relayv1.RelayService_ConnectServer) error {
			got, err := s.Recv()
			if diff := cmp.Diff(request, got, protocmp.Transform()); err != nil || diff != "" {
				t.Errorf("the service received %v (-sent +received):\n%s", err, diff)
			}
			return s.Send(response)
		})
		if err := s.Send(request); err != nil {
			t.Fatal(err)
		}
		got, err := s.Recv()
		if diff := cmp.Diff(response, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("the edge received %v (-sent +received):\n%s", err, diff)
		}
		wantEOF(t, s)
	})
}

func wantEOF(t *testing.T, s relayv1.RelayService_ConnectClient) {
	t.Helper()
	for range 2 {
		if frame, err := s.Recv(); err != io.EOF { //nolint:errorlint // gRPC's promise
			t.Fatalf("Recv = %v, %v; want EOF", frame, err)
		}
	}
}

func TestWhatTheServiceSentBeforeItEndedIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t.Context(), t, func(s relayv1.RelayService_ConnectServer) error {
			for n := range uint64(10) {
				if err := s.Send(&relayv1.ConnectResponse{Received: n}); err != nil {
					t.Errorf("Send = %v", err)
				}
			}
			return nil
		})
		for want := range uint64(10) {
			frame, err := s.Recv()
			if err != nil || frame.GetReceived() != want {
				t.Fatalf("Recv = %v, %v; want frame %d", frame, err, want)
			}
			synctest.Wait() // the service goes as far as it can: at last, it ends
		}
		wantEOF(t, s)
	})
}

func TestServiceSeesThatTheEdgeHasClosedItsSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t.Context(), t, func(s relayv1.RelayService_ConnectServer) error {
			for n := 0; ; n++ {
				_, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return s.Send(&relayv1.ConnectResponse{Received: uint64(n)})
				}
				if err != nil {
					return err
				}
			}
		})
		for range 5 {
			if err := s.Send(&relayv1.ConnectRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Send(&relayv1.ConnectRequest{}); err == nil {
			t.Error("a frame was sent after CloseSend")
		}
		frame, err := s.Recv()
		if err != nil || frame.GetReceived() != 5 {
			t.Errorf("the service says %v, %v; want that it had 5 frames", frame, err)
		}
		wantEOF(t, s)
	})
}

func TestErrorOfTheServiceReachesTheEdgeAsGRPCHasIt(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want codes.Code
	}{
		{status.Error(codes.InvalidArgument, "hello"), codes.InvalidArgument},
		{context.Canceled, codes.Canceled},
		{errors.New("whatever"), codes.Unknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t.Context(), t, func(relayv1.RelayService_ConnectServer) error { return tt.err })
			synctest.Wait()
			for range shortcutFrames + 1 { // some may have been on their way
				if err := s.Send(&relayv1.ConnectRequest{}); err != nil && err != io.EOF { //nolint:errorlint // gRPC's promise
					t.Errorf("Send = %v, want EOF", err)
				}
			}
			if _, err := s.Recv(); status.Code(err) != tt.want {
				t.Errorf("Recv = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestEdgeThatGivesUpDoesNotWaitForTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		var recv, send error
		s := open(ctx, t, func(s relayv1.RelayService_ConnectServer) error {
			<-release
			for recv == nil {
				_, recv = s.Recv()
			}
			for send == nil {
				send = s.Send(&relayv1.ConnectResponse{})
			}
			return nil
		})
		cancel()
		if _, err := s.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("Recv = %v, want Canceled", err)
		}
		close(release)
		synctest.Wait()
		if status.Code(recv) != codes.Canceled || status.Code(send) != codes.Canceled {
			t.Errorf("the service's Recv = %v, and Send = %v; want Canceled", recv, send)
		}
	})
}

func TestSenderWaitsWhenTheOtherEndDoesNotReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receive := make(chan struct{})
		s := open(t.Context(), t, func(s relayv1.RelayService_ConnectServer) error {
			for range receive {
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
			return nil
		})
		sent := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range shortcutFrames + 2 {
				if s.Send(&relayv1.ConnectRequest{}) != nil {
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent != shortcutFrames {
			t.Errorf("%d frames were sent that nobody received, want %d", sent, shortcutFrames)
		}
		receive <- struct{}{}
		synctest.Wait()
		if sent != shortcutFrames+1 {
			t.Errorf("%d frames were sent when one was received, want %d", sent, shortcutFrames+1)
		}
		close(receive) // and the service ends
		<-done
	})
}

func TestStreamWaitsForTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := newShortcut()
		ctx, cancel := context.WithCancel(t.Context())
		opened := make(chan error, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				s, err := dialed(cut).Connect(ctx)
				if err == nil {
					_, err = s.Recv()
				}
				opened <- err
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-opened; status.Code(err) != codes.Canceled {
			t.Errorf("without a service, when its context ended: %v, want Canceled", err)
		}
		synctest.Wait()
		if len(opened) > 0 {
			t.Error("a stream was opened, or refused, without a service")
		}
		go cut.serve(t.Context(), connect{do: func(relayv1.RelayService_ConnectServer) error { return nil }}) //nolint:errcheck // nil
		if err := <-opened; !errors.Is(err, io.EOF) {
			t.Errorf("with a service that ends it at once: %v, want EOF", err)
		}
	})
}

func TestServeWaitsForTheServicesEndsOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := newShortcut()
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() {
			served <- cut.serve(ctx, connect{do: func(relayv1.RelayService_ConnectServer) error { <-release; return nil }})
		}()
		if _, err := dialed(cut).Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if len(served) > 0 {
			t.Error("it did not wait")
		}
		close(release)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestOtherStreamsGoOverGRPC(t *testing.T) {
	_, err := onlyStreams{newShortcut()}.NewStream(t.Context(), &grpc.StreamDesc{}, "/gotapi.history.v1.HistoryService/Watch")
	if !errors.Is(err, errGRPC) {
		t.Errorf("got %v, want that it is left to gRPC", err)
	}
}
