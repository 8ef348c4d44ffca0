package relayserver

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// FuzzFramesOfEdges: whatever an edge sends is taken or refused, every publish
// in a frame that is taken is answered once, and what goes back is bounded.
func FuzzFramesOfEdges(f *testing.F) {
	for _, frames := range [][]*relayv1.ConnectRequest{
		{{Hello: &relayv1.Hello{Edge: 7, Protocol: 1, OldestProtocol: 1}}},
		{{Publishes: []*relayv1.Publish{{Id: 1}}}},
		{
			{Hello: &relayv1.Hello{Edge: 7, Protocol: 1, OldestProtocol: 1}, Interests: []*relayv1.Interest{{Channel: 1, Group: "/a"}, {Channel: 2}, {Channel: 3, Group: "bad"}}},
			{Publishes: []*relayv1.Publish{
				{Id: 1, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_DATA, Uuid: "u", Payload: []byte("x"), TimeoutMs: 1},
				{Id: 1, Group: "/a", Kind: 99},
				{Id: 2, Group: "", Kind: relayv1.PacketKind_PACKET_KIND_TEXT},
			}},
			{Interests: []*relayv1.Interest{{Channel: 1, Group: "/b", From: &relayv1.Position{Epoch: 1}}, {Channel: 1}}},
			{Presence: &relayv1.Presence{Full: true, Members: map[string]uint32{"/a": 1}}},
		},
	} {
		var all [3][]byte
		for i, frame := range frames {
			b, err := proto.Marshal(frame)
			if err != nil {
				f.Fatal(err)
			}
			all[i%len(all)] = append(all[i%len(all)], b...) // joined messages are merged
		}
		f.Add(all[0], all[1], all[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		log := slog.New(slog.DiscardHandler)
		store := &instant{}
		store.hub = feed.New(store, store, log, prometheus.NewRegistry())
		relay := New(store, &census{}, store.hub, Options{QueueBytes: 1 << 20}, log, prometheus.NewRegistry())
		p := newPeer(relay, nil)
		defer p.stopChannels()
		publishes := 0
		for _, raw := range [][]byte{a, b, c} {
			frame := &relayv1.ConnectRequest{}
			if proto.Unmarshal(raw, frame) != nil || p.handle(frame) != nil {
				break
			}
			publishes += len(frame.GetPublishes())
		}
		p.out.finish()
		results := 0
		for frame := p.out.next(); frame != nil; frame = p.out.next() {
			results += len(frame.GetResults())
		}
		if results != publishes || !p.out.finished() {
			t.Errorf("%d publishes, %d results, all answered: %v", publishes, results, p.out.finished())
		}
	})
}
