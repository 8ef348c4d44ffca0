package historysvc

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/historysvc/internal/rpc"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// pages answers every call with a large page, and counts those that are not taken yet.
type pages struct {
	historyv1.UnimplementedHistoryServiceServer
	held atomic.Int64
}

func (p *pages) GetHistory(ctx context.Context, _ *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	p.held.Add(1)
	rpc.ReleaseWithAnswer(ctx, func() { p.held.Add(-1) })
	return &historyv1.GetHistoryResponse{Data: []string{strings.Repeat("x", 1<<20)}}, nil
}

// pipes is a listener whose connections are pipes.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// callPages calls GetHistory of a server with those windows of flow control, of streams
// and of each update, and returns the server's end.
func callPages(t *testing.T, window uint32, test func(p *pages, framer *http2.Framer, closed *atomic.Bool)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		p, conns := new(pages), make(pipes, 1)
		ln := newBoundedListener(conns, 1, 1)
		pass := func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, stream)
		}
		observe := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(ctx, request)
		}
		var closed atomic.Bool
		unary := newMethods(pass, observe, func(peer net.Addr) { closed.Store(true); ln.hangUp(peer) })
		s := grpc.NewServer(grpc.ForceServerCodecV2(newAnswerCodec()), grpc.InTapHandle(unary.limitTime), grpc.WaitForHandlers(true))
		s.RegisterService(unary.of(&historyv1.HistoryService_ServiceDesc), p)
		ours, theirs := net.Pipe()
		conns <- theirs
		go func() { _ = s.Serve(ln) }()
		defer func() { close(conns); s.Stop(); _ = ours.Close(); synctest.Wait() }()

		framer := http2.NewFramer(ours, ours)
		write := make(chan func(), 16)
		go func() {
			for f := range write {
				f()
			}
		}()
		defer close(write)
		write <- func() {
			_, _ = ours.Write([]byte(http2.ClientPreface))
			_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
			_ = framer.WriteWindowUpdate(0, 4<<20)
			var head bytes.Buffer
			headers := hpack.NewEncoder(&head)
			for _, f := range []hpack.HeaderField{
				{Name: ":method", Value: "POST"},
				{Name: ":scheme", Value: "http"},
				{Name: ":authority", Value: "history"},
				{Name: ":path", Value: historyv1.HistoryService_GetHistory_FullMethodName},
				{Name: "content-type", Value: "application/grpc"},
				{Name: "te", Value: "trailers"},
			} {
				_ = headers.WriteField(f)
			}
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
			request, _ := proto.Marshal(&historyv1.GetHistoryRequest{GroupName: "/room"})
			_ = framer.WriteData(1, true, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...))
		}
		go func() {
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					return
				}
				if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
					data := ping.Data
					write <- func() { _ = framer.WritePing(true, data) }
				}
			}
		}()
		synctest.Wait()
		test(p, framer, &closed)
	})
}

func TestAnswersAreHeldUntilTheyAreTaken(t *testing.T) {
	callPages(t, 4<<20, func(p *pages, _ *http2.Framer, closed *atomic.Bool) {
		if p.held.Load() != 0 || closed.Load() {
			t.Errorf("%d answers are held although they were taken; the connection was closed: %t", p.held.Load(), closed.Load())
		}
	})
	callPages(t, 1<<10, func(p *pages, framer *http2.Framer, closed *atomic.Bool) {
		if p.held.Load() != 1 {
			t.Errorf("%d answers are held, want the one that was not taken", p.held.Load())
		}
		if err := framer.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.held.Load() != 0 || closed.Load() {
			t.Errorf("%d answers are held although the call was reset; the connection was closed: %t", p.held.Load(), closed.Load())
		}
	})
}

func TestCallersThatDoNotTakeTheirAnswerLoseTheirConnection(t *testing.T) {
	callPages(t, 1<<10, func(p *pages, _ *http2.Framer, closed *atomic.Bool) {
		time.Sleep(maxCallTime - time.Second)
		synctest.Wait()
		if p.held.Load() != 1 || closed.Load() {
			t.Errorf("%d answers are held a second before the end, want 1; the connection was closed: %t", p.held.Load(), closed.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.held.Load() != 0 || !closed.Load() {
			t.Errorf("%d answers are held, want none; the connection was closed: %t", p.held.Load(), closed.Load())
		}
	})
}
