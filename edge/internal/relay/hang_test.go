package relay

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// remote is one of several services, and the way to it.
type remote struct {
	*service
	*line
}

// newPair starts a client that knows two services, and waits for its stream.
func newPair(t *testing.T) (c *Client, mine, other remote, first *connection) {
	t.Helper()
	return newPairFor(t, newRecorder())
}

func newPairFor(t *testing.T, h Handler) (c *Client, mine, other remote, first *connection) {
	t.Helper()
	remotes := map[string]remote{"one:1": newRemote(t), "two:1": newRemote(t)}
	conn, err := historyconn.Dial("one:1,two:1", grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		return remotes[addr].dial(ctx, addr)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.Connect()
	time.Sleep(time.Second) // of the bubble's time: both are connected
	c = New(conn, Options{LastMoment: soon}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx, h) })
	t.Cleanup(func() { cancel(); running.Wait() })

	mine, other = remotes["one:1"], remotes["two:1"]
	select {
	case first = <-mine.conns:
	case first = <-other.conns:
		mine, other = other, mine
	}
	first.t = t
	first.frame() // hello
	return c, mine, other, first
}

func newRemote(t *testing.T) remote {
	t.Helper()
	r := remote{&service{conns: make(chan *connection)}, &line{listener: bufconn.Listen(1 << 20)}}
	server := grpc.NewServer()
	relayv1.RegisterRelayServiceServer(server, r.service)
	healthgrpc.RegisterHealthServer(server, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(r.listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return r
}

func valueOf(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestPublicationsOfAHungServiceAreAckedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, mine, other, first := newPair(t)
		answers := newAnswers(t)
		c.Publish(answers.publication(1, stream.Message))
		first.answer(accepted, first.frame().GetPublishes()...)
		answers.want(1, Accepted)

		mine.cut()
		start := time.Now()
		c.Publish(answers.publication(2, stream.Message)) // written into the void
		second := other.next(t)
		if took := time.Since(start); took > historyconn.Patience {
			t.Errorf("the stream moved after %v, want at most %v", took, historyconn.Patience)
		}
		second.answer(accepted, second.frame().GetPublishes()...)
		answers.want(2, Accepted)
		if n := valueOf(t, c.metrics.givenUp); n != 1 {
			t.Errorf("%v streams were given up, want 1", n)
		}
	})
}

func TestAServiceThatAnswersNoPublicationsIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _, first := newPair(t)
		answers := newAnswers(t)
		c.Publish(answers.publication(1, stream.Message))
		f := first.frame() // its Redis takes its time
		answers.want(1, Unknown)
		c.Publish(answers.publication(2, stream.Message))
		first.answer(accepted, f.GetPublishes()...)
		first.answer(accepted, first.frame().GetPublishes()...)
		answers.want(2, Accepted)
		if n := valueOf(t, c.metrics.givenUp); n != 0 {
			t.Errorf("%v streams were given up, want none", n)
		}
	})
}
