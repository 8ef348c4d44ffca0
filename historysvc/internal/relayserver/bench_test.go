package relayserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// instant is a store that accepts everything at once and keeps nothing, and a
// bus on which the benchmark speaks itself.
type instant struct {
	seq atomic.Uint64
	hub *feed.Hub
}

func (s *instant) Submit(p *history.Publication) {
	p.From.Settle(history.Receipt{Epoch: 1, Seq: s.seq.Add(1)})
}

func (s *instant) Subscribe(groups ...group.Name) {
	go func() {
		for _, g := range groups {
			s.hub.Subscribed(g)
		}
	}()
}

func (s *instant) Unsubscribe(...group.Name) {}

func (s *instant) Heads(_ context.Context, groups []group.Name) []history.Head {
	return make([]history.Head, len(groups))
}

func (s *instant) Read(context.Context, group.Name, history.Start) (history.Batch, error) {
	return history.Batch{}, nil
}

func (s *instant) Page(context.Context, group.Name, history.Query) (history.Page, error) {
	return history.Page{}, errors.ErrUnsupported
}

func (s *instant) Recall(context.Context, group.Name, string, history.Limit, stream.Author) error {
	return errors.ErrUnsupported
}

func (s *instant) SetTTL(context.Context, group.Name, time.Duration) error {
	return errors.ErrUnsupported
}

// connect serves a relay over s in memory and opens a stream to it.
func connect(b *testing.B, s *instant) relayv1.RelayService_ConnectClient {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	s.hub = feed.New(s, s, log, prometheus.NewRegistry())
	relay := New(s, &census{}, s.hub, Options{QueueBytes: 16 << 20}, log, prometheus.NewRegistry())
	srv := grpc.NewServer()
	relayv1.RegisterRelayServiceServer(srv, relay)
	pipe := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { _ = srv.Serve(pipe); ended <- struct{}{} }()
	go func() { _ = s.hub.Run(ctx); ended <- struct{}{} }()
	conn, err := grpc.NewClient("passthrough:///pipe", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		srv.Stop()
		cancel()
		<-ended
		<-ended
		relay.Wait()
	})
	stream, err := relayv1.NewRelayServiceClient(conn).Connect(ctx)
	if err == nil {
		err = stream.Send(&relayv1.ConnectRequest{Hello: &relayv1.Hello{Edge: 7, Protocol: 1, OldestProtocol: 1}})
	}
	if err != nil {
		b.Fatal(err)
	}
	return stream
}

// BenchmarkRelayPublish is the whole cost of a relayed publish of 128 bytes
// but for the store: both ends of gRPC, frames of up to 128, two on their way.
func BenchmarkRelayPublish(b *testing.B) {
	s := connect(b, &instant{})
	payload := make([]byte, 128)
	frame := func(n int) *relayv1.ConnectRequest {
		r := &relayv1.ConnectRequest{}
		for i := range n {
			r.Publishes = append(r.Publishes, &relayv1.Publish{
				Id: uint64(i), Group: fmt.Sprint("/room/", i), Kind: relayv1.PacketKind_PACKET_KIND_DATA,
				Uuid: "02108001177667145695", Payload: payload, TimeoutMs: 5000,
			})
		}
		return r
	}
	full := frame(128)
	b.ReportAllocs()
	b.ResetTimer()
	var sent, received uint64
	for unsent, answered := b.N, 0; answered < b.N; {
		for unsent > 0 && sent < received+2 {
			f := full
			if unsent < 128 {
				f = frame(unsent)
			}
			if err := s.Send(f); err != nil {
				b.Fatal(err)
			}
			unsent -= len(f.GetPublishes())
			sent++
		}
		resp, err := s.Recv()
		if err != nil {
			b.Fatal(err)
		}
		received = resp.GetReceived()
		answered += len(resp.GetResults())
	}
}

// BenchmarkRelayDelivery is the cost of a live message of 128 bytes from the
// bus to the edge's end of the stream.
func BenchmarkRelayDelivery(b *testing.B) {
	for _, perCall := range []int{1, 32} {
		b.Run(fmt.Sprint(perCall, " in a call of Heard"), func(b *testing.B) {
			store := &instant{}
			s := connect(b, store)
			const g = "/room/1"
			if err := s.Send(&relayv1.ConnectRequest{Interests: []*relayv1.Interest{{Channel: 1, Group: g}}}); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Recv(); err != nil { // attached
				b.Fatal(err)
			}
			payload := make([]byte, 128)
			b.ReportAllocs()
			b.ResetTimer()
			for heard, got := 0, 0; got < b.N; {
				for heard < b.N && heard < got+4096 {
					events := make([]stream.Event, min(perCall, b.N-heard))
					for i := range events {
						heard++
						events[i] = stream.Event{Kind: stream.Message, Seq: uint64(heard), Payload: payload}
					}
					store.hub.Heard(g, 1, events)
				}
				resp, err := s.Recv()
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range resp.GetDeliveries() {
					got += len(d.GetEvents())
				}
			}
		})
	}
}
