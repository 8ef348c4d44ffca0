package historyconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

// server is a service that says its name, and whose incoming bytes can be held
// up as those of a process that hangs.
type server struct {
	historyv1.UnimplementedHistoryServiceServer
	name     string
	listener *bufconn.Listener
	// How long an answer takes.
	work time.Duration
	// It ends the server.
	stop func()

	mu   sync.Mutex
	hung chan struct{} // nil: it does not hang
}

func (s *server) GetHistory(ctx context.Context, _ *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	select {
	case <-time.After(s.work):
		return &historyv1.GetHistoryResponse{Msg: s.name}, nil
	case <-ctx.Done(): // at the same moment as the caller's
		return nil, ctx.Err()
	}
}

func (s *server) Watch(_ *historyv1.WatchRequest, out historyv1.HistoryService_WatchServer) error {
	if err := out.Send(&historyv1.WatchResponse{GroupName: s.name}); err != nil {
		return err
	}
	<-out.Context().Done()
	return nil
}

func (s *server) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung = make(chan struct{})
}

func (s *server) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.hung)
	s.hung = nil
}

// line is the client's end of a connection.
type line struct {
	net.Conn
	server *server
	closed chan struct{}
	once   sync.Once
}

func (l *line) Write(b []byte) (int, error) {
	l.server.mu.Lock()
	hung := l.server.hung
	l.server.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-l.closed:
			return 0, net.ErrClosed
		}
	}
	return l.Conn.Write(b)
}

func (l *line) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Conn.Close()
}

// dial starts the servers and returns a client of all of them.
func dial(t *testing.T, servers ...*server) historyv1.HistoryServiceClient {
	t.Helper()
	byName := make(map[string]*server)
	var state resolver.State
	for _, s := range servers {
		s.listener = bufconn.Listen(1 << 20)
		byName[s.name] = s
		state.Addresses = append(state.Addresses, resolver.Address{Addr: s.name})
		g := grpc.NewServer()
		historyv1.RegisterHistoryServiceServer(g, s)
		healthv1.RegisterHealthServer(g, health.NewServer())
		var serving sync.WaitGroup
		serving.Go(func() { _ = g.Serve(s.listener) })
		s.stop = func() { g.Stop(); serving.Wait() }
		t.Cleanup(s.stop)
	}
	list := manual.NewBuilderWithScheme("list")
	list.InitialState(state)
	conn, err := grpc.NewClient("list:///", grpc.WithResolvers(list),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+balancerName+`":{}}],"healthCheckConfig":{"serviceName":""}}`),
		grpc.WithChainUnaryInterceptor(retryUnary), grpc.WithChainStreamInterceptor(cancelStream),
		grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
			conn, err := byName[name].listener.DialContext(ctx)
			return &line{Conn: conn, server: byName[name], closed: make(chan struct{})}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.Connect()
	time.Sleep(time.Second) // of the bubble's time: all are connected
	return historyv1.NewHistoryServiceClient(conn)
}

// ask makes a call, and returns who answered and how long it took.
func ask(t *testing.T, c historyv1.HistoryServiceClient) (name string, took time.Duration) {
	t.Helper()
	start := time.Now()
	r, err := c.GetHistory(t.Context(), &historyv1.GetHistoryRequest{})
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	return r.GetMsg(), time.Since(start)
}

func TestCallsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &server{name: "a"}, &server{name: "b"}, &server{name: "c"})
		counts := map[string]int{}
		for range 30 {
			name, _ := ask(t, c)
			counts[name]++
		}
		if counts["a"] != 10 || counts["b"] != 10 || counts["c"] != 10 {
			t.Errorf("30 calls went to %v, want 10 each", counts)
		}
	})
}

func TestCallsOfAHungServiceGoToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a"}, &server{name: "b"}
		c := dial(t, a, b)
		a.hang()
		var slowest time.Duration
		for range 2 { // one of them is a's
			name, took := ask(t, c)
			slowest = max(slowest, took)
			if name != "b" {
				t.Errorf("answered by %q, which hangs", name)
			}
		}
		if slowest == 0 || slowest > Patience {
			t.Errorf("the call that the hung service had took %v, want more than 0 and at most %v", slowest, Patience)
		}
		for range 4 {
			if name, took := ask(t, c); name != "b" || took > 0 {
				t.Errorf("later call: answered by %q after %v, want b at once", name, took)
			}
		}
		a.goOn()
		time.Sleep(beatEvery)
		seen := map[string]bool{}
		for range 2 {
			name, _ := ask(t, c)
			seen[name] = true
		}
		if !seen["a"] {
			t.Error("a service that goes on gets no calls")
		}
	})
}

func TestStreamOfAHungServiceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a"}, &server{name: "b"}
		c := dial(t, a, b)
		stream := func() (historyv1.HistoryService_WatchClient, string) {
			s, err := c.Watch(t.Context(), &historyv1.WatchRequest{})
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return s, first.GetGroupName()
		}
		streams := map[string]historyv1.HistoryService_WatchClient{}
		for range 2 {
			s, name := stream()
			streams[name] = s
		}
		a.hang()
		start := time.Now()
		_, err := streams["a"].Recv()
		if took := time.Since(start); !errors.Is(err, ErrSilent) || took > Patience {
			t.Errorf("the stream of the hung service ended with %v after %v, want ErrSilent within %v", err, took, Patience)
		}
		for range 2 {
			if _, name := stream(); name != "b" {
				t.Errorf("a new stream went to %q, which hangs", name)
			}
		}
		if streams["b"].Context().Err() != nil {
			t.Error("the stream of the other service ended, too")
		}
	})
}

func TestTheOnlyServiceKeepsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{name: "a"}
		c := dial(t, a)
		a.hang()
		time.AfterFunc(10*time.Second, a.goOn)
		if name, took := ask(t, c); name != "a" || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("answered by %q after %v, want a after 10 s", name, took)
		}
	})
}

func TestCallsOfASilentServiceMoveWhenAnotherIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a"}, &server{name: "b"}
		c := dial(t, a, b)
		a.hang()
		b.hang()
		time.AfterFunc(10*time.Second, b.goOn)
		for range 2 {
			if name, took := ask(t, c); name != "b" || took > 10*time.Second+beatEvery {
				t.Errorf("answered by %q after %v, want b after 10 s", name, took)
			}
		}
	})
}

func TestASlowAnswerIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &server{name: "a", work: time.Minute}, &server{name: "b", work: time.Minute})
		for range 2 {
			if _, took := ask(t, c); took != time.Minute {
				t.Errorf("a call of a minute took %v: it was made twice", took)
			}
		}
	})
}

func TestTheCallersOwnEndIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &server{name: "a", work: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.GetHistory(ctx, &historyv1.GetHistoryRequest{}); err == nil || errors.Is(err, ErrSilent) {
			t.Errorf("got error %v, want the deadline's", err)
		}
	})
}

// A service that is gone is missed, as long as its address is known.
func TestAServiceThatIsGoneIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &server{name: "a"}, &server{name: "b"}
		c := dial(t, a, b)
		b.stop()
		time.Sleep(time.Second) // of the bubble's time: it is missed
		var seat Seat
		if _, err := c.Watch(seat.With(t.Context()), &historyv1.WatchRequest{}); err != nil {
			t.Fatal(err)
		}
		all := seat.Services()
		if len(all) != 2 || all[0].Address != "a" || all[0].Silent || all[1].Address != "b" || !all[1].Silent {
			t.Fatalf("services %+v, want a, and b silent", all)
		}
		if asked := seat.Ask(t.Context()); !asked[1].Silent {
			t.Errorf("asked: %+v, want b silent", asked)
		}
	})
}
