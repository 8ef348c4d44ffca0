package historysvc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// edge is the other end of a relay stream, without any cleverness: what it
// gets is collected by until.
type edge struct {
	t      *testing.T
	stream relayv1.RelayService_ConnectClient

	received uint64
	results  map[uint64]*relayv1.Result
	attached map[uint32][]*relayv1.Attached
	events   map[uint32][]*relayv1.Event
	err      error
}

func (s *service) edge(t *testing.T, id uint64) *edge {
	t.Helper()
	stream, err := s.relay.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{
		t: t, stream: stream, results: make(map[uint64]*relayv1.Result),
		attached: make(map[uint32][]*relayv1.Attached), events: make(map[uint32][]*relayv1.Event),
	}
	e.send(&relayv1.ConnectRequest{Hello: &relayv1.Hello{
		Edge: id, Version: "v9", Commit: "c0ffee", Host: "e:4998", Protocol: 1, OldestProtocol: 1,
	}})
	return e
}

func (e *edge) send(frame *relayv1.ConnectRequest) {
	e.t.Helper()
	if err := e.stream.Send(frame); err != nil {
		e.t.Fatalf("send: %v", err)
	}
}

func (e *edge) data(id uint64, uuid string) *relayv1.Publish {
	return &relayv1.Publish{
		Id: id, Group: room, Kind: relayv1.PacketKind_PACKET_KIND_DATA, Uuid: uuid, Payload: data(uuid), TimeoutMs: 5000,
	}
}

// attach opens a channel and waits for it.
func (e *edge) attach(channel uint32, group string, from *relayv1.Position) {
	e.t.Helper()
	e.send(&relayv1.ConnectRequest{Interests: []*relayv1.Interest{{Channel: channel, Group: group, From: from}}})
	e.until(func() bool { return len(e.attached[channel]) > 0 })
}

// until receives until ok, or until the stream ends.
func (e *edge) until(ok func() bool) {
	e.t.Helper()
	for !ok() {
		if e.err != nil {
			e.t.Fatalf("the stream ended: %v", e.err)
		}
		var frame *relayv1.ConnectResponse
		if frame, e.err = e.stream.Recv(); e.err != nil {
			continue
		}
		e.received = frame.GetReceived()
		for _, r := range frame.GetResults() {
			e.results[r.GetId()] = r
		}
		for _, a := range frame.GetAttached() {
			e.attached[a.GetChannel()] = append(e.attached[a.GetChannel()], a)
		}
		for _, d := range frame.GetDeliveries() {
			e.events[d.GetChannel()] = append(e.events[d.GetChannel()], d.GetEvents()...)
		}
	}
}

// got describes the events of a channel.
func (e *edge) got(channel uint32) (all []string) {
	for _, ev := range e.events[channel] {
		switch ev.GetKind() {
		case relayv1.EventKind_EVENT_KIND_MESSAGE:
			all = append(all, fmt.Sprintf("%d %s of %d", ev.GetSeq(), ev.GetPayload(), ev.GetOriginEdge()))
		case relayv1.EventKind_EVENT_KIND_RECALL:
			all = append(all, fmt.Sprintf("recall %s of %d", ev.GetUuid(), ev.GetTarget()))
		default:
			all = append(all, fmt.Sprintf("%v %s of %d", ev.GetKind(), ev.GetPayload(), ev.GetOriginEdge()))
		}
	}
	return all
}

func TestEdgePublishesAttachesAndGetsItsDeliveries(t *testing.T) {
	s := start(t)
	a, b := s.edge(t, 7), s.edge(t, 8)
	a.attach(1, room, nil)
	b.attach(5, room, nil)
	a.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{
		a.data(1, "u1"),
		{Id: 2, Group: room, Kind: relayv1.PacketKind_PACKET_KIND_BINARY, Payload: []byte{0xff}, TimeoutMs: 5000},
		a.data(3, "u1"),
		{Id: 4, Group: "no slash", Kind: relayv1.PacketKind_PACKET_KIND_TEXT, Payload: []byte("x")},
		{Id: 5, Group: room, Payload: []byte("x")},
	}})
	a.until(func() bool { return len(a.results) == 5 && len(a.events[1]) == 2 })
	b.until(func() bool { return len(b.events[5]) == 2 })

	want := []string{
		fmt.Sprintf("1 %s of 7", data("u1")),
		"EVENT_KIND_BINARY \xff of 7",
	}
	if diff := cmp.Diff(want, a.got(1)); diff != "" {
		t.Errorf("deliveries to the sender's edge, want (-), got (+):\n%s", diff)
	}
	if diff := cmp.Diff(want, b.got(5)); diff != "" {
		t.Errorf("deliveries to the other edge, want (-), got (+):\n%s", diff)
	}
	outcomes := make(map[uint64]string)
	for id, r := range a.results {
		outcomes[id] = r.GetOutcome().String()
	}
	if diff := cmp.Diff(map[uint64]string{
		1: "OUTCOME_ACCEPTED", 2: "OUTCOME_ACCEPTED", 3: "OUTCOME_DUPLICATE", 4: "OUTCOME_INVALID", 5: "OUTCOME_INVALID",
	}, outcomes); diff != "" {
		t.Errorf("outcomes, want (-), got (+):\n%s", diff)
	}
	if r := a.results[1]; r.GetSeq() != 1 || r.GetEpoch() == 0 {
		t.Errorf("result of the message: %v, want its place", r)
	}
}

func TestEveryPublishGetsItsResult(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	e.attach(1, room, nil)
	const n = 100
	for id := range uint64(n) {
		e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{e.data(id+1, fmt.Sprint("u", id))}})
	}
	elsewhere := e.data(n+1, "elsewhere") // nobody follows that group: no delivery
	elsewhere.Group = "/elsewhere"
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{elsewhere, e.data(n+2, "u0")}})
	e.until(func() bool { return len(e.events[1]) == n && len(e.results) == n+2 })
	for id, r := range e.results {
		want := relayv1.Outcome_OUTCOME_ACCEPTED
		if id == n+2 {
			want = relayv1.Outcome_OUTCOME_DUPLICATE
		}
		if got := r.GetOutcome(); got != want {
			t.Errorf("publish %d: %v, want %v", id, got, want)
		}
	}
}

func TestEdgeGoesOnFromItsPosition(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	e.attach(1, room, nil)
	at := e.attached[1][0].GetPosition()
	for _, u := range []string{"u1", "u2", "u3"} {
		s.publish(t, data(u))
	}
	if _, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room, Uuid: "u1"}); err != nil {
		t.Fatal(err)
	}
	e.until(func() bool { return len(e.events[1]) == 4 })

	again := s.edge(t, 8)
	again.attach(1, room, at)
	again.until(func() bool { return len(again.events[1]) == 4 })
	first, last := again.events[1][0], again.events[1][3]
	if first.GetKind() != relayv1.EventKind_EVENT_KIND_TOMBSTONE || last.GetKind() != relayv1.EventKind_EVENT_KIND_RECALL {
		t.Errorf("replayed %v, want a tombstone first and its recall last", again.events[1])
	}
	for _, a := range append(e.attached[1], again.attached[1]...) {
		if a.GetGap() || a.GetError() != "" {
			t.Errorf("attached: %v, want neither gap nor error", a)
		}
	}
}

func TestEdgeWithAForeignPositionIsToldOfTheGap(t *testing.T) {
	s := start(t)
	s.publish(t, data("u1"))
	e := s.edge(t, 7)
	e.attach(1, room, &relayv1.Position{Epoch: 99, Seq: 3, Link: 1})
	e.until(func() bool { return len(e.attached[1]) == 2 })
	if a := e.attached[1][1]; !a.GetGap() || a.GetPosition().GetSeq() != 1 {
		t.Errorf("attached: %v, want a gap at 1", a)
	}
	s.publish(t, data("u2"))
	e.until(func() bool { return len(e.events[1]) == 1 })
}

func TestChannelOfABadGroupEndsWithAnError(t *testing.T) {
	s := start(t)
	if err := s.redis.Set(room, "a string"); err != nil {
		t.Fatal(err)
	}
	e := s.edge(t, 7)
	e.attach(1, room, nil)
	e.attach(2, "bad", nil)
	for channel := range uint32(2) {
		if a := e.attached[channel+1][0]; a.GetError() == "" {
			t.Errorf("attached: %v, want an error", a)
		}
	}
	// When the key is gone, the group can be had.
	s.redis.Del(room)
	e.attach(3, room, nil)
	if a := e.attached[3][0]; a.GetError() != "" {
		t.Errorf("attached: %v, want no error", a)
	}
}

func TestEndedChannelGetsNothing(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	e.attach(1, room, nil)
	e.send(&relayv1.ConnectRequest{Interests: []*relayv1.Interest{{Channel: 1}}})
	e.attach(2, room, nil) // after the end of the other
	s.publish(t, data("u1"))
	e.until(func() bool { return len(e.events[2]) == 1 })
	if n := len(e.events[1]); n != 0 {
		t.Errorf("%d events on the ended channel, want none", n)
	}
}

func TestSecondUnconfirmedFrameIsConfirmedByItself(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	s.redis.SetError("LOADING later") // so that no result carries the confirmation
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{e.data(1, "u1")}})
	e.send(&relayv1.ConnectRequest{Publishes: []*relayv1.Publish{e.data(2, "u2")}})
	e.until(func() bool { return e.received == 2 })
	if len(e.results) != 0 {
		t.Errorf("results %v before Redis answered", e.results)
	}
	s.redis.SetError("")
	e.until(func() bool { return len(e.results) == 2 })
}

func TestPresenceIsReportedAndEndsWithTheEdge(t *testing.T) {
	s := start(t)
	e := s.edge(t, 7)
	e.send(&relayv1.ConnectRequest{Presence: &relayv1.Presence{Full: true, Members: map[string]uint32{room: 2, "/a": 1}}})
	e.send(&relayv1.ConnectRequest{Presence: &relayv1.Presence{Members: map[string]uint32{"/a": 0}}})
	s.groups(t, map[string]int32{room: 2})
	other := s.edge(t, 8)
	other.send(&relayv1.ConnectRequest{Presence: &relayv1.Presence{Full: true, Members: map[string]uint32{room: 3}}})
	s.groups(t, map[string]int32{room: 5})
	if err := e.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.groups(t, map[string]int32{room: 3})
}

// groups asks for the groups until they are these.
func (s *service) groups(t *testing.T, want map[string]int32) {
	t.Helper()
	var got map[string]int32
	eventually(t, func() bool {
		resp, err := s.history.ListGroups(t.Context(), &historyv1.ListGroupsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got = make(map[string]int32)
		for _, g := range resp.GetGroups() {
			got[g.GetName()] = g.GetMembers()
		}
		return cmp.Equal(want, got)
	}, func() string { return cmp.Diff(want, got) })
}

func TestSlowEdgeGetsAllStoredMessages(t *testing.T) {
	redis := miniredis.RunT(t)
	cfg := settings(t, "-listen", "127.0.0.1:0", "-redis", "redis://"+redis.Addr()+"/0", "-edge-queue-bytes", "1048576")
	cfg.Embedded = true
	s := startWith(t, cfg, redis)
	slow, sender := s.edge(t, 7), s.edge(t, 8)
	slow.attach(1, room, nil)
	const frames, perFrame = 20, 50
	padding := strings.Repeat("x", 8<<10)
	for f := range frames {
		frame := &relayv1.ConnectRequest{}
		for i := range perFrame {
			p := sender.data(uint64(f*perFrame+i+1), fmt.Sprint("u", f*perFrame+i))
			p.Payload = append(p.Payload, padding...)
			frame.Publishes = append(frame.Publishes, p)
		}
		sender.send(frame)
		sender.until(func() bool { return len(sender.results) == (f+1)*perFrame })
	}
	// Only now does the slow one read.
	slow.until(func() bool { return len(slow.events[1]) >= frames*perFrame })
	for i, e := range slow.events[1] {
		if e.GetSeq() != uint64(i+1) {
			t.Fatalf("event %d has number %d", i, e.GetSeq())
		}
	}
	if n := len(slow.attached[1]); n != 1 {
		t.Errorf("attached %d times, want once", n)
	}
}
