package historyconn

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
)

// Seat is the place of one stream among the history services. The zero Seat is of a
// stream that has not been opened. It is safe for concurrent use.
type Seat struct {
	// A service that the stream is not to go to.
	avoid *service
	// Nil until the stream has been opened by way of the balancer.
	place atomic.Pointer[place]
}

// place is a service among all.
type place struct {
	all     *services
	service *service
}

type seatKey struct{}

// With returns a context under which the stream is opened that takes the seat: at the
// service with the fewer streams of two.
func (s *Seat) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, seatKey{}, s)
}

// seatOf returns nil for calls that go anywhere.
func seatOf(ctx context.Context) *Seat {
	s, _ := ctx.Value(seatKey{}).(*Seat)
	return s
}

// Elsewhere returns a seat at the service with the fewest streams that is not this
// one's; nil if there is none.
func (s *Seat) Elsewhere() *Seat {
	at := s.place.Load()
	if at == nil {
		return nil
	}
	at.all.mu.Lock()
	defer at.all.mu.Unlock()
	if at.all.least(at.service) == nil {
		return nil
	}
	return &Seat{avoid: at.service}
}

// Surplus reports whether this stream should move, because another service would still have
// no more streams than this seat's. others is how many that one has now.
func (s *Seat) Surplus() (others int, ok bool) {
	at := s.place.Load()
	if at == nil {
		return 0, false
	}
	at.all.mu.Lock()
	defer at.all.mu.Unlock()
	other := at.all.least(at.service)
	if other == nil || !at.service.told || at.service.streams-1 < other.streams+1 {
		return 0, false
	}
	return other.streams, true
}

// Service is what an edge knows of a history service.
type Service struct {
	Address string
	// Empty if unknown.
	Version string
	// By Ask: the commit, the address and the alarms of the service.
	Commit, Host string
	Alarms       []alarm.Alarm
	// Streams of edges, all of them.
	Streams int
	// It does not answer.
	Silent bool
	// It has the stream of this edge.
	Mine bool
	// By Ask: the edges that it serves, 1000 at most.
	Edges []Edge

	client relayv1.RelayServiceClient
}

// Edge is an edge that a history service serves.
type Edge struct {
	// As in stream.Origin.
	ID                    uint64
	Version, Commit, Host string
	// What is wrong with it.
	Alarms []alarm.Alarm
}

// Ask returns all services, with the answers that come before ctx ends.
func (s *Seat) Ask(ctx context.Context) []Service {
	all := s.Services()
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].ask(ctx) })
	}
	asking.Wait()
	return all
}

func (s *Service) ask(ctx context.Context) {
	if s.client == nil {
		return
	}
	answer, err := s.client.Heartbeat(ctx, &relayv1.HeartbeatRequest{Edges: true})
	if err != nil {
		s.Silent = true
		return
	}
	s.Version, s.Streams = answer.GetVersion(), int(answer.GetStreams())
	s.Commit, s.Host, s.Alarms = answer.GetCommit(), answer.GetHost(), alarms(answer.GetAlarms())
	for _, e := range answer.GetEdges() {
		s.Edges = append(s.Edges, Edge{e.GetEdge(), e.GetVersion(), e.GetCommit(), e.GetHost(), alarms(e.GetAlarms())})
	}
}

func alarms(told []*relayv1.Alarm) (all []alarm.Alarm) {
	for _, a := range told {
		all = append(all, alarm.Alarm{Name: a.GetName(), Text: a.GetText()})
	}
	return all
}

// Services returns all services that the resolver has found, by address. One without a
// connection, or that is not well, is silent.
func (s *Seat) Services() []Service {
	at := s.place.Load()
	if at == nil {
		return nil
	}
	at.all.mu.Lock()
	defer at.all.mu.Unlock()
	known := make([]Service, 0, len(at.all.found))
	for _, one := range at.all.ready {
		known = append(known, Service{
			Address: one.address, Version: one.version, Streams: one.streams, Silent: one.silent, Mine: one == at.service, client: one.client,
		})
	}
	for _, address := range at.all.found {
		if !slices.ContainsFunc(known, func(s Service) bool { return s.Address == address }) {
			known = append(known, Service{Address: address, Silent: true})
		}
	}
	slices.SortFunc(known, func(a, b Service) int { return cmp.Compare(a.Address, b.Address) })
	return known
}

// seat chooses a service for a stream; nil if there is none. Of two that are drawn, it
// takes the one with the fewer streams: what is known of them is a moment old, and many
// edges look for a service at once. A stream that moves, as few do at once, takes the one
// with the fewest. The caller holds mu.
func (all *services) seat(s *Seat) (chosen *service) {
	if s.avoid != nil {
		chosen = all.least(s.avoid)
	} else {
		for range 2 {
			if one := all.nextService(); chosen == nil || one.told && chosen.told && one.streams < chosen.streams {
				chosen = one
			}
		}
	}
	if chosen != nil {
		chosen.streams++
		s.place.Store(&place{all, chosen})
	}
	return chosen
}

// least returns the service with the fewest streams that answers and is not avoid; nil
// if there is none. The caller holds mu.
func (all *services) least(avoid *service) (chosen *service) {
	if len(all.ready) == 0 {
		return nil
	}
	first := rand.N(len(all.ready))
	for i := range all.ready {
		one := all.ready[(first+i)%len(all.ready)]
		if one != avoid && !one.silent && one.told && (chosen == nil || one.streams < chosen.streams) {
			chosen = one
		}
	}
	return chosen
}
