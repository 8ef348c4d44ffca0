package rpc

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

func instantRelay() (*instant, *Relay) {
	log := slog.New(slog.DiscardHandler)
	store := &instant{}
	store.hub = feed.New(store, store, log, prometheus.NewRegistry())
	return store, NewRelay(store, &census{}, store.hub, RelayOptions{QueueBytes: 1 << 20}, log, prometheus.NewRegistry())
}

// untouchable is a stream that nothing may be done with.
type untouchable struct {
	relayv1.RelayService_ConnectServer
}

func TestStreamThatIsOpenedWhenTheServiceGoesDownEndsAtOnceAndLeavesNothing(t *testing.T) {
	_, relay := instantRelay()
	relay.Drain()
	if err := relay.Connect(untouchable{}); err != nil {
		t.Errorf("it ended with %v, want well: the edge goes on elsewhere", err)
	}
	relay.Wait()
}

// The edge takes the end of a stream for the word that what is unconfirmed was not
// taken, and sends it to another service: a packet that is not stored would be
// broadcast twice.
func TestFrameThatTheReaderGotWhenTheStreamEndedIsNotTaken(t *testing.T) {
	store, relay := instantRelay()
	p := newPeer(relay, nil)
	defer p.stopChannels()
	publish := func(id uint64) {
		t.Helper()
		frame := &relayv1.ConnectRequest{Publishes: []*relayv1.Publish{
			{Id: id, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_TEXT, Payload: []byte("x")},
		}}
		if id == 1 {
			frame.Hello = &relayv1.Hello{Edge: 7}
		}
		if err := p.take(frame); err != nil {
			t.Fatal(err)
		}
	}

	publish(1)
	p.out.finish()
	if p.out.end() {
		t.Error("it ended before the result of the first was sent")
	}
	publish(2) // which may still be taken, and so is waited for
	if frame := newFrames(p.out).next(); len(frame.GetResults()) != 2 || !p.out.end() {
		t.Fatalf("the last frame: %v, want both results, and the end", frame)
	}
	publish(3)
	if n := store.seq.Load(); n != 2 {
		t.Errorf("%d packets got to the store, want the 2 that are confirmed", n)
	}
}
