package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	adminv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/admin/v1"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// historysvc is a small history service in memory: it stores, deduplicates,
// recalls and delivers as the real one, for one process.
type historysvc struct {
	historyv1.UnimplementedHistoryServiceServer
	relayv1.UnimplementedRelayServiceServer
	adminv1.UnimplementedAdminServiceServer

	mu     sync.Mutex
	groups map[string]*record
	peers  map[*peer]struct{}
	// While it holds, publishes are taken, but neither stored nor answered.
	stalled bool
	waiting []func()
	// While it holds, no stream is taken.
	refusing bool
	// While it holds, there is no status.
	away bool
	// The last report of the edge.
	members map[string]uint32
}

// record is what a group keeps.
type record struct {
	events []*relayv1.Event
	at     *relayv1.Position
	seqs   map[string]uint64
}

// peer is one stream of an edge.
type peer struct {
	svc      *historysvc
	stream   relayv1.RelayService_ConnectServer
	end      chan error
	edge     uint64
	received uint64
	channels map[uint32]string
}

func (*historysvc) Heartbeat(_ context.Context, r *relayv1.HeartbeatRequest) (*relayv1.HeartbeatResponse, error) {
	answer := &relayv1.HeartbeatResponse{Streams: 1, Version: "v7.8.9", Commit: "c0ffee", Host: "h:5998"}
	if r.GetEdges() {
		answer.Alarms = []*relayv1.Alarm{{Name: "GotapiFileDescriptors", Text: "history service h:5998: few"}}
		answer.Edges = []*relayv1.Edge{
			{Edge: 42, Version: "v7.6.0", Host: "e:4998", Alarms: []*relayv1.Alarm{{Name: "GotapiEdgeBudgetFull", Text: "edge e:4998: full"}}},
		}
	}
	return answer, nil
}

// GetStatus tells one alarm again.
func (s *historysvc) GetStatus(context.Context, *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, status.Error(codes.Unavailable, "not ready")
	}
	return &adminv1.GetStatusResponse{
		Store:   &adminv1.Store{Kind: "redis"},
		Service: &adminv1.Service{Host: "h:5998", Version: "v7.8.9"},
		Edges:   []*adminv1.Edge{{Id: "2a", Members: 3, Groups: 2}, {Id: "77", Members: 1, Groups: 1}},
		Alarms:  []*adminv1.Alarm{{Name: "GotapiFileDescriptors", Text: "history service h:5998: few"}},
	}, nil
}

func newHistorysvc() *historysvc {
	return &historysvc{groups: make(map[string]*record), peers: make(map[*peer]struct{})}
}

// start serves on a pipe in memory until the test's end; dial reaches it.
func (s *historysvc) start(t *testing.T) (dial grpc.DialOption) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	s.serve(t, listener)
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	})
}

func (s *historysvc) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	server := grpc.NewServer()
	historyv1.RegisterHistoryServiceServer(server, s)
	relayv1.RegisterRelayServiceServer(server, s)
	adminv1.RegisterAdminServiceServer(server, s)
	healthv1.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
}

// breakStreams ends all streams with err; nil is an end in order.
func (s *historysvc) breakStreams(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		p.end <- err
		delete(s.peers, p)
	}
}

// stall keeps publishes waiting until resume.
func (s *historysvc) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = true
}

func (s *historysvc) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = false
	for _, do := range s.waiting {
		do()
	}
	s.waiting = nil
}

// refuse makes it take no more streams, or some again.
func (s *historysvc) refuse(refusing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing = refusing
}

func (s *historysvc) reported(group string) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[group]
}

func (s *historysvc) group(name string) *record {
	g := s.groups[name]
	if g == nil {
		g = &record{at: &relayv1.Position{}, seqs: make(map[string]uint64)}
		s.groups[name] = g
	}
	return g
}

// add gives a stored event its place, and delivers it.
func (s *historysvc) add(name string, e *relayv1.Event) {
	g := s.group(name)
	if g.at.Epoch == 0 {
		g.at.Epoch = 7
	}
	e.Prev, e.Link = g.at.Link, g.at.Link*31+17
	if e.Kind == relayv1.EventKind_EVENT_KIND_RECALL {
		g.at.Changes++
	} else {
		g.at.Seq++
	}
	e.Seq, e.Changes = g.at.Seq, 0
	if e.Kind == relayv1.EventKind_EVENT_KIND_RECALL {
		e.Changes = g.at.Changes
	}
	g.at.Link = e.Link
	g.events = append(g.events, e)
	s.deliver(name, e)
}

func (s *historysvc) deliver(name string, e *relayv1.Event) {
	for p := range s.peers {
		for channel, group := range p.channels {
			if group == name {
				p.send(&relayv1.ConnectResponse{Deliveries: []*relayv1.Delivery{
					{Channel: channel, Epoch: s.group(name).at.Epoch, Events: []*relayv1.Event{e}},
				}})
			}
		}
	}
}

// send is called under the service's lock.
func (p *peer) send(r *relayv1.ConnectResponse) {
	r.Received = p.received
	_ = p.stream.Send(r) // a peer that is gone is removed by Connect
}

func (s *historysvc) Connect(stream relayv1.RelayService_ConnectServer) error {
	p := &peer{svc: s, stream: stream, end: make(chan error, 1), channels: make(map[uint32]string)}
	s.mu.Lock()
	refusing := s.refusing
	s.peers[p] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.peers, p)
	}()
	if refusing {
		return status.Error(codes.Unavailable, "not now")
	}
	go func() {
		for {
			frame, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if err != nil || frame == nil {
				select {
				case p.end <- err:
				default:
				}
				return
			}
			p.take(frame)
		}
	}()
	return <-p.end
}

func (p *peer) take(frame *relayv1.ConnectRequest) {
	s := p.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.peers[p]; !open {
		return
	}
	if frame.Hello != nil {
		p.edge = frame.Hello.Edge
	}
	if len(frame.Publishes) > 0 {
		p.received++
	}
	for _, m := range frame.Publishes {
		if s.stalled {
			s.waiting = append(s.waiting, func() { p.publish(m) })
		} else {
			p.publish(m)
		}
	}
	for _, i := range frame.Interests {
		p.interest(i)
	}
	if frame.Presence != nil {
		if frame.Presence.Full {
			s.members = make(map[string]uint32)
		}
		for g, n := range frame.Presence.Members {
			s.members[g] = n
		}
	}
}

func (p *peer) publish(m *relayv1.Publish) {
	e := &relayv1.Event{OriginEdge: p.edge, OriginId: m.Id, Payload: m.Payload}
	result := &relayv1.Result{Id: m.Id, Outcome: relayv1.Outcome_OUTCOME_ACCEPTED}
	g := p.svc.group(m.Group)
	switch m.Kind {
	case relayv1.PacketKind_PACKET_KIND_DATA:
		if seq, ok := g.seqs[m.Uuid]; ok && m.Uuid != "" {
			result.Outcome, result.Epoch, result.Seq = relayv1.Outcome_OUTCOME_DUPLICATE, g.at.Epoch, seq
			break
		}
		e.Kind = relayv1.EventKind_EVENT_KIND_MESSAGE
		p.svc.add(m.Group, e)
		g.seqs[m.Uuid] = e.Seq
		result.Epoch, result.Seq = g.at.Epoch, e.Seq
	case relayv1.PacketKind_PACKET_KIND_TEXT:
		e.Kind = relayv1.EventKind_EVENT_KIND_TEXT
		p.svc.deliver(m.Group, e)
	default:
		e.Kind = relayv1.EventKind_EVENT_KIND_BINARY
		p.svc.deliver(m.Group, e)
	}
	p.send(&relayv1.ConnectResponse{Results: []*relayv1.Result{result}})
}

func (p *peer) interest(i *relayv1.Interest) {
	if i.Group == "" {
		delete(p.channels, i.Channel)
		return
	}
	p.channels[i.Channel] = i.Group
	g := p.svc.group(i.Group)
	at := clone(g.at)
	response := &relayv1.ConnectResponse{}
	if i.From != nil {
		at = i.From
		if missed := g.after(i.From); len(missed) > 0 {
			response.Deliveries = []*relayv1.Delivery{{Channel: i.Channel, Epoch: g.at.Epoch, Events: missed}}
		}
	}
	response.Attached = []*relayv1.Attached{{Channel: i.Channel, Position: at}}
	p.send(response)
}

func (g *record) after(at *relayv1.Position) []*relayv1.Event {
	for i, e := range g.events {
		if e.Link == at.Link {
			return g.events[i+1:]
		}
	}
	return g.events
}

func clone(p *relayv1.Position) *relayv1.Position {
	return &relayv1.Position{Epoch: p.Epoch, Seq: p.Seq, Changes: p.Changes, Link: p.Link}
}

func (s *historysvc) Read(_ context.Context, r *relayv1.ReadRequest) (*relayv1.ReadResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(r.Group)
	response := &relayv1.ReadResponse{Epoch: g.at.Epoch, Position: clone(g.at)}
	if start := r.GetAfter(); start != nil {
		response.Events = g.after(start)
		return response, nil
	}
	seq, ok := g.seqs[r.GetAfterUuid()]
	response.Gap = !ok
	for _, e := range g.events {
		if e.Seq > seq {
			response.Events = append(response.Events, e)
		}
	}
	return response, nil
}

func (s *historysvc) GetHistory(_ context.Context, r *historyv1.GetHistoryRequest) (*historyv1.GetHistoryResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &historyv1.GetHistoryResponse{Code: 200, Position: r.Position}
	events := s.group(r.GroupName).events
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Kind == relayv1.EventKind_EVENT_KIND_MESSAGE {
			response.Data = append(response.Data, string(events[i].Payload))
		}
	}
	return response, nil
}

func (s *historysvc) Recall(_ context.Context, r *relayv1.RecallRequest) (*relayv1.RecallResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(r.Group)
	seq, ok := g.seqs[r.Uuid]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such message")
	}
	for i, e := range g.events {
		if e.Kind == relayv1.EventKind_EVENT_KIND_MESSAGE && e.Seq == seq {
			g.events[i] = &relayv1.Event{Kind: relayv1.EventKind_EVENT_KIND_TOMBSTONE, Seq: seq, Prev: e.Prev, Link: e.Link, Uuid: r.Uuid}
			s.add(r.Group, &relayv1.Event{Kind: relayv1.EventKind_EVENT_KIND_RECALL, Target: seq, Uuid: r.Uuid})
			break
		}
	}
	return &relayv1.RecallResponse{}, nil
}

func (s *historysvc) SetTTL(context.Context, *historyv1.SetTTLRequest) (*historyv1.SetTTLResponse, error) {
	return &historyv1.SetTTLResponse{Code: 200, Msg: "set"}, nil
}

func (s *historysvc) ListGroups(context.Context, *historyv1.ListGroupsRequest) (*historyv1.ListGroupsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &historyv1.ListGroupsResponse{Code: 200}
	for g, n := range s.members {
		response.Groups = append(response.Groups, &historyv1.Group{Name: g, Members: int32(n)})
	}
	return response, nil
}

// field returns one field of a JSON object.
func field(text, name string) any {
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil {
		return nil
	}
	return object[name]
}
