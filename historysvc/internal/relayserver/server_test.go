package relayserver

import (
	"context"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// noted is a store that notes what it is asked.
type noted struct {
	instant
	start     history.Start
	batch     history.Batch
	by        stream.Author
	published []*history.Publication
	receipt   history.Receipt
}

func (n *noted) Read(_ context.Context, _ group.Name, start history.Start) (history.Batch, error) {
	n.start = start
	return n.batch, nil
}

func (n *noted) Recall(_ context.Context, _ group.Name, _ string, _ history.Limit, by stream.Author) error {
	n.by = by
	return nil
}

func (n *noted) Submit(p *history.Publication) {
	n.published = append(n.published, p)
	p.From.Settle(n.receipt)
}

func notedServer() (*noted, *Server) {
	_, server := instantServer()
	store := &noted{}
	server.store = store
	return store, server
}

func TestReadBeginsWhereItIsTold(t *testing.T) {
	position := &relayv1.Position{Epoch: 1, Seq: 2, Changes: 3, Link: 4}
	for _, tt := range []struct {
		request *relayv1.ReadRequest
		want    history.Start
	}{
		{&relayv1.ReadRequest{}, history.Start{}},
		{
			&relayv1.ReadRequest{Start: &relayv1.ReadRequest_After{After: position}},
			history.Start{After: stream.Position{Epoch: 1, Seq: 2, Changes: 3, Link: 4}},
		},
		{
			&relayv1.ReadRequest{Start: &relayv1.ReadRequest_AfterUuid{AfterUuid: "u"}, NewestIfLost: proto.Uint32(0)},
			history.Start{AfterUUID: "u", IfLost: history.FromNow},
		},
		{
			&relayv1.ReadRequest{Start: &relayv1.ReadRequest_Newest{Newest: 7}, NewestIfLost: proto.Uint32(9)},
			history.Start{Newest: 7, IfLost: 9},
		},
		{
			&relayv1.ReadRequest{Start: &relayv1.ReadRequest_Newest{Newest: math.MaxUint32}, NewestIfLost: proto.Uint32(math.MaxUint32)},
			history.Start{Newest: math.MaxInt32, IfLost: math.MaxInt32},
		},
	} {
		store, server := notedServer()
		tt.request.Group = "/a"
		if _, err := server.Read(t.Context(), tt.request); err != nil || store.start != tt.want {
			t.Errorf("%v: %+v, %v, want %+v", tt.request, store.start, err, tt.want)
		}
	}
}

func TestTimesAndNamesPassTheRelay(t *testing.T) {
	store, server := notedServer()
	alice, key := stream.Author{Name: "alice"}, stream.Author{Name: "backend", Key: true}
	store.batch = history.Batch{Events: []stream.Event{
		{Kind: stream.Message, Seq: 1, At: 11, By: alice},
		{Kind: stream.Recall, Seq: 1, Changes: 1, Target: 1, At: 12, By: key},
		{Kind: stream.Message, Seq: 2, At: 13, By: stream.Author{Name: "not \xff UTF-8"}}, // it would end the stream
	}}
	got, err := server.Read(t.Context(), &relayv1.ReadRequest{Group: "/a"})
	want := []*relayv1.Event{
		{Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: 1, At: 11, By: &relayv1.Author{Name: "alice"}},
		{Kind: relayv1.EventKind_EVENT_KIND_RECALL, Seq: 1, Changes: 1, Target: 1, At: 12, By: &relayv1.Author{Name: "backend", Key: true}},
		{Kind: relayv1.EventKind_EVENT_KIND_MESSAGE, Seq: 2, At: 13},
	}
	if diff := cmp.Diff(want, got.GetEvents(), protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("events: %v (-want +got):\n%s", err, diff)
	}

	recall := &relayv1.RecallRequest{Group: "/a", Uuid: "u", By: &relayv1.Author{Name: "backend", Key: true}}
	if _, err := server.Recall(t.Context(), recall); err != nil || store.by != key {
		t.Errorf("recall by %+v, %v, want %+v", store.by, err, key)
	}

	store.receipt = history.Receipt{Duplicate: true, Seq: 5, At: 14}
	p := newPeer(server, nil)
	defer p.stopChannels()
	frame := &relayv1.ConnectRequest{
		Hello: &relayv1.Hello{Edge: 7, Protocol: 1, OldestProtocol: 1},
		Publishes: []*relayv1.Publish{
			{Id: 1, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_DATA, Author: make([]byte, 8), By: &relayv1.Author{Name: "alice"}},
			{Id: 2, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_TEXT, By: &relayv1.Author{Name: "backend", Key: true}},
			{Id: 3, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_DATA},
		},
	}
	if err := p.handle(frame); err != nil {
		t.Fatal(err)
	}
	for i, want := range []stream.Author{alice, key, {}} {
		if got := store.published[i].By; got != want {
			t.Errorf("publish %d by %+v, want %+v", i, got, want)
		}
	}
	for _, r := range p.out.next().GetResults() {
		if r.GetAt() != 14 || r.GetSeq() != 5 {
			t.Errorf("result %v, want the time and place of the first copy", r)
		}
	}
}
