package heartbeat

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Balancer is the name to give in a service config.
const Balancer = "gotapi_heartbeat"

func init() { //nolint:gochecknoinits // gRPC's registry may not be changed later
	balancer.Register(builder{})
}

type builder struct{}

// Name implements balancer.Builder.
func (builder) Name() string { return Balancer }

// Build implements balancer.Builder.
func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	f := &fleet{held: make(map[balancer.SubConn]held)}
	return &fleetBalancer{
		Balancer: base.NewBalancerBuilder(Balancer, f, base.Config{HealthCheck: true}).Build(cc, opts),
		fleet:    f,
	}
}

// fleetBalancer is gRPC's base balancer with an end.
type fleetBalancer struct {
	balancer.Balancer
	fleet *fleet
}

// Close implements balancer.Balancer: it ends the heartbeats and waits for them.
func (b *fleetBalancer) Close() {
	b.Balancer.Close()
	b.fleet.Build(base.PickerBuildInfo{})
}

// fleet is the services of one connection as the resolver knows them. It makes
// the heartbeats (balancer.ProducerBuilder), hears from gRPC which services are
// ready (base.PickerBuilder), and picks among them (balancer.Picker).
type fleet struct {
	// Of gRPC's calls of Build, which come one after another.
	held map[balancer.SubConn]held

	mu    sync.Mutex
	ready []*service
	next  int
}

// held is a service, and what gives it up.
type held struct {
	service *service
	release func()
}

// service is one history service while its connection is ready.
type service struct {
	// Guarded by fleet.mu.
	conn   balancer.SubConn
	silent bool
	calls  map[*call]struct{}
}

// producers makes heartbeats for connections.
type producers struct{ *fleet }

// Build implements balancer.ProducerBuilder. gRPC closes what it makes when the
// connection is not ready any more.
func (p producers) Build(conn any) (producer balancer.Producer, end func()) {
	s := &service{calls: make(map[*call]struct{})}
	cc, _ := conn.(grpc.ClientConnInterface) // so says gRPC
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		beat(ctx, askHealth(healthv1.NewHealthClient(cc)), func(silent bool) { p.heard(s, silent) })
	})
	return s, func() { cancel(); running.Wait() }
}

// Build implements base.PickerBuilder.
func (f *fleet) Build(info base.PickerBuildInfo) balancer.Picker {
	var released []func()
	for conn := range info.ReadySCs {
		p, release := conn.GetOrBuildProducer(producers{f})
		s, _ := p.(*service) // producers make nothing else
		before, known := f.held[conn]
		if known && before.service == s {
			released = append(released, release)
			continue
		}
		if known {
			released = append(released, before.release)
		}
		f.held[conn] = held{s, release}
	}
	for conn, h := range f.held {
		if _, ready := info.ReadySCs[conn]; !ready {
			released = append(released, h.release)
			delete(f.held, conn)
		}
	}
	f.replace()
	for _, release := range released { // waits for heartbeats, which need the lock
		release()
	}
	return f
}

// replace makes the services that are held those to pick from.
func (f *fleet) replace() {
	f.mu.Lock()
	f.ready = f.ready[:0]
	for conn, h := range f.held {
		h.service.conn = conn
		f.ready = append(f.ready, h.service)
	}
	cut := f.takeFromSilent()
	f.mu.Unlock()
	cutAll(cut)
}

// heard notes whether s is silent.
func (f *fleet) heard(s *service, silent bool) {
	f.mu.Lock()
	if s.silent == silent {
		f.mu.Unlock()
		return
	}
	s.silent = silent
	cut := f.takeFromSilent()
	f.mu.Unlock()
	cutAll(cut)
}

// takeFromSilent returns the calls of silent services, if others are well.
func (f *fleet) takeFromSilent() (calls []*call) {
	if !f.anyWell() {
		return nil
	}
	for _, s := range f.ready {
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

func (f *fleet) anyWell() bool {
	for _, s := range f.ready {
		if !s.silent {
			return true
		}
	}
	return false
}

// Pick implements balancer.Picker: the services take turns, the silent ones
// only when all are.
func (f *fleet) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.choose()
	if s == nil {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	picked := balancer.PickResult{SubConn: s.conn}
	if c := callOf(info.Ctx); c != nil {
		s.calls[c] = struct{}{}
		picked.Done = func(balancer.DoneInfo) { f.ended(s, c) }
	}
	return picked, nil
}

func (f *fleet) choose() *service {
	var chosen *service
	for range f.ready {
		f.next = (f.next + 1) % len(f.ready)
		chosen = f.ready[f.next]
		if !chosen.silent {
			break
		}
	}
	return chosen
}

func (f *fleet) ended(s *service, c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(s.calls, c)
}
