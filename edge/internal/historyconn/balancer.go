package historyconn

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/dns"

	"github.com/gotapi/gotapi-ws/internal/backoff"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// balancerName is the name in the service config.
const balancerName = "gotapi_heartbeat"

// resolveEvery is how often the addresses of the history services are looked up, so that
// new ones are found while the old ones are well.
const resolveEvery = 10 * time.Second

func init() { //nolint:gochecknoinits // gRPC's registry may not be changed later
	balancer.Register(builder{})
	dns.SetMinResolutionInterval(resolveEvery / 2) // more rarely, gRPC takes no look-up
}

type builder struct{}

// Name implements balancer.Builder.
func (builder) Name() string { return balancerName }

// Build implements balancer.Builder.
func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	all := &services{held: make(map[balancer.SubConn]held)}
	ctx, cancel := context.WithCancel(context.Background())
	b := &closingBalancer{
		Balancer: base.NewBalancerBuilder(balancerName, all, base.Config{HealthCheck: true}).Build(cc, opts),
		services: all,
		cancel:   cancel,
	}
	b.resolving.Go(func() { keepResolving(ctx, cc) })
	return b
}

// keepResolving looks the addresses up until ctx ends.
func keepResolving(ctx context.Context, cc balancer.ClientConn) {
	for backoff.Sleep(ctx, resolveEvery) == nil {
		cc.ResolveNow(resolver.ResolveNowOptions{})
	}
}

// closingBalancer is gRPC's base balancer with an end.
type closingBalancer struct {
	balancer.Balancer
	services  *services
	resolving sync.WaitGroup
	cancel    context.CancelFunc
}

// UpdateClientConnState implements balancer.Balancer.
func (b *closingBalancer) UpdateClientConnState(state balancer.ClientConnState) error {
	b.services.setFound(state.ResolverState)
	return b.Balancer.UpdateClientConnState(state)
}

// Close implements balancer.Balancer: it ends the heartbeats and waits for them.
func (b *closingBalancer) Close() {
	b.cancel()
	b.resolving.Wait()
	b.Balancer.Close()
	b.services.Build(base.PickerBuildInfo{})
}

// services are those that the resolver has found. It starts their heartbeats
// (balancer.ProducerBuilder), learns from gRPC which are ready (base.PickerBuilder),
// and picks among them (balancer.Picker).
type services struct {
	// Of gRPC's calls of Build, which come one after another.
	held map[balancer.SubConn]held

	mu    sync.Mutex
	ready []*service
	// All addresses that the resolver has found.
	found []string
	next  int
}

// held is a service, and what releases it.
type held struct {
	service *service
	release func()
}

// service is one history service while its connection is ready.
type service struct {
	client relayv1.RelayServiceClient

	// Guarded by services.mu.
	conn    balancer.SubConn
	address string
	silent  bool
	calls   map[*call]struct{}
	// As of its last heartbeat, and those that were opened from here since.
	streams int
	version string
	// It has told them.
	told bool
}

// producers makes heartbeats for connections.
type producers struct{ *services }

// Build implements balancer.ProducerBuilder. gRPC closes what it makes when the
// connection is not ready any more.
func (p producers) Build(conn any) (producer balancer.Producer, end func()) {
	cc, _ := conn.(grpc.ClientConnInterface) // so says gRPC
	s := &service{client: relayv1.NewRelayServiceClient(cc), calls: make(map[*call]struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		watch(ctx, func(ctx context.Context) error {
			answer, err := s.client.Heartbeat(ctx, &relayv1.HeartbeatRequest{})
			if err == nil {
				p.note(s, answer)
			}
			return err
		}, func(silent bool) { p.setSilent(s, silent) })
	})
	return s, func() { cancel(); running.Wait() }
}

// Build implements base.PickerBuilder.
func (all *services) Build(info base.PickerBuildInfo) balancer.Picker {
	var released []func()
	addresses := make(map[balancer.SubConn]string, len(info.ReadySCs))
	for conn, about := range info.ReadySCs {
		addresses[conn] = about.Address.Addr
		p, release := conn.GetOrBuildProducer(producers{all})
		s, _ := p.(*service) // producers make nothing else
		before, known := all.held[conn]
		if known && before.service == s {
			released = append(released, release)
			continue
		}
		if known {
			released = append(released, before.release)
		}
		all.held[conn] = held{s, release}
	}
	for conn, h := range all.held {
		if _, ready := info.ReadySCs[conn]; !ready {
			released = append(released, h.release)
			delete(all.held, conn)
		}
	}
	all.replace(addresses)
	for _, release := range released { // waits for heartbeats, which need the lock
		release()
	}
	return all
}

// replace makes the services that are held those to pick from.
func (all *services) replace(addresses map[balancer.SubConn]string) {
	all.mu.Lock()
	all.ready = all.ready[:0]
	for conn, h := range all.held {
		h.service.conn, h.service.address = conn, addresses[conn]
		all.ready = append(all.ready, h.service)
	}
	lost := all.takeFromSilent()
	all.mu.Unlock()
	cancelAll(lost)
}

// setFound notes the addresses that the resolver has found.
func (all *services) setFound(state resolver.State) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.found = nil
	for _, e := range state.Endpoints {
		for _, a := range e.Addresses {
			all.found = append(all.found, a.Addr)
		}
	}
}

// setSilent notes whether s is silent.
func (all *services) setSilent(s *service, silent bool) {
	all.mu.Lock()
	if s.silent == silent {
		all.mu.Unlock()
		return
	}
	s.silent = silent
	lost := all.takeFromSilent()
	all.mu.Unlock()
	cancelAll(lost)
}

// note takes what s has told.
func (all *services) note(s *service, answer *relayv1.HeartbeatResponse) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s.streams, s.version, s.told = int(answer.GetStreams()), answer.GetVersion(), true
}

// takeFromSilent returns the calls of silent services if others answer.
func (all *services) takeFromSilent() (calls []*call) {
	if !all.anyAnswers() {
		return nil
	}
	for _, s := range all.ready {
		if !s.silent {
			continue
		}
		for c := range s.calls {
			calls = append(calls, c)
		}
		clear(s.calls)
	}
	return calls
}

func (all *services) anyAnswers() bool {
	for _, s := range all.ready {
		if !s.silent {
			return true
		}
	}
	return false
}

// Pick implements balancer.Picker: round robin, skipping silent services unless all
// are. A call with a Seat goes where there are few of its kind.
func (all *services) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.nextService()
	seat := seatOf(info.Ctx)
	if seat != nil {
		s = all.seat(seat)
	}
	if s == nil {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	picked := balancer.PickResult{SubConn: s.conn}
	if c := callOf(info.Ctx); c != nil {
		s.calls[c] = struct{}{}
		picked.Done = func(balancer.DoneInfo) { all.ended(s, c) }
	}
	return picked, nil
}

func (all *services) nextService() *service {
	var chosen *service
	for range all.ready {
		all.next = (all.next + 1) % len(all.ready)
		chosen = all.ready[all.next]
		if !chosen.silent {
			break
		}
	}
	return chosen
}

func (all *services) ended(s *service, c *call) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(s.calls, c)
}
