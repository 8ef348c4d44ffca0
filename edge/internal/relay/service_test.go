package relay

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// service is a history service whose every answer the test gives.
type service struct {
	relayv1.UnimplementedRelayServiceServer
	conns chan *connection
	read  func(*relayv1.ReadRequest) (*relayv1.ReadResponse, error)
	// Member counts reach the test; else they are left out.
	reports bool
	// Streams that it says to have.
	streams atomic.Uint32
}

func (s *service) Heartbeat(context.Context, *relayv1.HeartbeatRequest) (*relayv1.HeartbeatResponse, error) {
	return &relayv1.HeartbeatResponse{Streams: s.streams.Load(), Version: "v1"}, nil
}

// connection is one Connect call as the service sees it.
type connection struct {
	t      testing.TB
	stream relayv1.RelayService_ConnectServer
	frames chan *relayv1.ConnectRequest // closed when nothing more can come
	end    chan error
	// Why nothing more can come: io.EOF if the edge has ended its half.
	why error
	// Frames with publishes so far.
	received uint64
}

func (s *service) Connect(stream relayv1.RelayService_ConnectServer) error {
	conn := &connection{stream: stream, frames: make(chan *relayv1.ConnectRequest), end: make(chan error, 1)}
	go func() {
		defer close(conn.frames)
		for {
			frame, err := stream.Recv()
			if err != nil {
				conn.why = err
				return
			}
			if frame.GetPresence() != nil && !s.reports {
				continue
			}
			select {
			case conn.frames <- frame:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	select {
	case s.conns <- conn:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	select {
	case err := <-conn.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func (s *service) Read(_ context.Context, r *relayv1.ReadRequest) (*relayv1.ReadResponse, error) {
	return s.read(r)
}

// next waits for the edge's next stream and its hello.
func (s *service) next(tb testing.TB) *connection {
	tb.Helper()
	conn := receive(tb, s.conns)
	conn.t = tb
	if hello := conn.frame().GetHello(); hello.GetEdge() == 0 {
		tb.Fatalf("first frame: got hello %v, want one with an edge", hello)
	}
	return conn
}

func (c *connection) frame() *relayv1.ConnectRequest {
	c.t.Helper()
	f := receive(c.t, c.frames)
	if len(f.GetPublishes()) > 0 {
		c.received++
	}
	return f
}

func (c *connection) send(r *relayv1.ConnectResponse) {
	c.t.Helper()
	r.Received = c.received
	if err := c.stream.Send(r); err != nil {
		c.t.Errorf("sending to the edge: %v", err)
	}
}

// answer confirms what was received and gives every publish the outcome.
func (c *connection) answer(outcome relayv1.Outcome, publishes ...*relayv1.Publish) {
	c.t.Helper()
	r := &relayv1.ConnectResponse{}
	for _, p := range publishes {
		r.Results = append(r.Results, &relayv1.Result{Id: p.GetId(), Outcome: outcome, Epoch: 7, Seq: p.GetId()})
	}
	c.send(r)
}

func receive[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	select {
	case v, ok := <-from:
		if !ok {
			tb.Fatal("the channel was closed, want a value")
		}
		return v
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing came within 10 s")
		panic("unreachable")
	}
}

// bareLink is a link without a stream.
func bareLink(tb testing.TB) *link {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	return newLink(ctx, cancel, nil, &historyconn.Seat{})
}

// recorder is a Handler that tells the test of every call.
type recorder struct {
	calls chan any
	// nil: there are none.
	members func() map[group.Name]uint32
	// nil: there are none.
	channels func() map[uint32]Channel
}

type (
	restored  struct{}
	lost      struct{}
	delivered struct {
		Channel uint32
		Epoch   stream.Epoch
		Events  []stream.Event
	}
	attached struct {
		Channel uint32
		At      stream.Position
		Gap     bool
		Err     string
	}
)

func newRecorder() *recorder { return &recorder{calls: make(chan any, 1000)} }

func (r *recorder) Members() map[group.Name]uint32 {
	if r.members == nil {
		return nil
	}
	return r.members()
}

func (r *recorder) Channels() map[uint32]Channel {
	if r.channels == nil {
		return nil
	}
	return r.channels()
}

func (r *recorder) Restored() { r.calls <- restored{} }
func (r *recorder) Lost()     { r.calls <- lost{} }
func (r *recorder) Attached(channel uint32, at stream.Position, gap bool, err error) {
	call := attached{Channel: channel, At: at, Gap: gap}
	if err != nil {
		call.Err = err.Error()
	}
	r.calls <- call
}

func (r *recorder) Deliver(channel uint32, epoch stream.Epoch, events []stream.Event) {
	r.calls <- delivered{channel, epoch, events}
}

// rig is a client that runs against a service.
type rig struct {
	*Client
	service *service
	handler *recorder
	// Ends Run and waits for it.
	stop func()
	line *line
}

// line makes connections, and can cut the present one without either end
// noticing.
type line struct {
	listener *bufconn.Listener
	mu       sync.Mutex
	last     *wire
}

// wire is a connection whose client speaks into the void once it is cut.
type wire struct {
	net.Conn
	cut atomic.Bool
}

func (l *line) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := l.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = &wire{Conn: conn}
	return l.last, nil
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.cut.Store(true)
}

func (w *wire) Write(b []byte) (int, error) {
	if w.cut.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// newRig starts everything; opts are those of the client, whose handler has the members
// of the given counts.
func newRig(tb testing.TB, opts Options, members ...func() map[group.Name]uint32) *rig {
	tb.Helper()
	s := &service{conns: make(chan *connection), reports: len(members) > 0}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	relayv1.RegisterRelayServiceServer(server, s)
	healthgrpc.RegisterHealthServer(server, health.NewServer())
	var all sync.WaitGroup
	all.Go(func() { _ = server.Serve(listener) })

	l := &line{listener: listener}
	conn, err := historyconn.Dial("passthrough:///service", grpc.WithContextDialer(l.dial))
	if err != nil {
		tb.Fatal(err)
	}
	h := newRecorder()
	for _, m := range members {
		h.members = m
	}
	c := New(conn, opts, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx, h) })
	stop := func() { cancel(); running.Wait() }
	tb.Cleanup(func() {
		stop()
		_ = conn.Close()
		server.Stop()
		all.Wait()
	})
	return &rig{Client: c, service: s, handler: h, stop: stop, line: l}
}

// waiter gets one result.
type waiter chan Result

func (w waiter) Result(_ *Publication, r Result) { w <- r }

// answers collects results by publish number, and finds second ones.
type answers struct {
	t    testing.TB
	mu   sync.Mutex
	seen map[uint32]Result
	came chan uint32
}

func newAnswers(tb testing.TB) *answers {
	tb.Helper()
	return &answers{t: tb, seen: make(map[uint32]Result), came: make(chan uint32, 100_000)}
}

// publication makes one whose result is collected.
func (a *answers) publication(number uint32, kind stream.Kind) *Publication {
	return &Publication{Group: "/room/", Kind: kind, Session: 1, Number: number, Payload: []byte("x"), From: a}
}

// Result implements Sender.
func (a *answers) Result(p *Publication, r Result) {
	a.mu.Lock()
	if first, twice := a.seen[p.Number]; twice {
		a.t.Errorf("publication %d has two results: %v, then %v", p.Number, first, r)
	}
	a.seen[p.Number] = r
	a.mu.Unlock()
	a.came <- p.Number
}

// next waits for one more answer.
func (a *answers) next() (uint32, Result) {
	a.t.Helper()
	number := receive(a.t, a.came)
	a.mu.Lock()
	defer a.mu.Unlock()
	return number, a.seen[number]
}

// want waits for one more answer, and checks it.
func (a *answers) want(number uint32, outcome Outcome) {
	a.t.Helper()
	got, r := a.next()
	if got != number || r.Outcome != outcome {
		a.t.Fatalf("answer: got number %d with outcome %v, want number %d with outcome %v", got, r.Outcome, number, outcome)
	}
}

func numbers(publishes []*relayv1.Publish) []uint32 {
	all := make([]uint32, len(publishes))
	for i, p := range publishes {
		all[i] = uint32(p.GetId())
	}
	return all
}

func from(first, last uint32) []uint32 {
	var all []uint32
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

// soon ends tests in real time whose service does not end its streams.
const soon = 10 * time.Millisecond

const room group.Name = "/room/"
