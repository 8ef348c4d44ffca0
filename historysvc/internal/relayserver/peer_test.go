package relayserver

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/relayversion"
)

func instantServer() (*instant, *Server) {
	log := slog.New(slog.DiscardHandler)
	store := &instant{}
	store.hub = feed.New(store, store, log, prometheus.NewRegistry())
	return store, New(store, &census{}, store.hub, Options{QueueBytes: 1 << 20}, log, prometheus.NewRegistry())
}

// untouchable is a stream that nothing may be done with.
type untouchable struct {
	relayv1.RelayService_ConnectServer
}

func TestStreamThatIsOpenedWhenTheServiceGoesDownEndsAtOnceAndLeavesNothing(t *testing.T) {
	_, server := instantServer()
	server.Drain()
	if err := server.Connect(untouchable{}); err != nil {
		t.Errorf("it ended with %v, want well: the edge goes on elsewhere", err)
	}
	server.Wait()
}

// The edge takes the end of a stream for the word that what is unconfirmed was not
// taken, and sends it to another service: a packet that is not stored would be
// broadcast twice.
func TestFrameThatTheReaderGotWhenTheStreamEndedIsNotTaken(t *testing.T) {
	store, server := instantServer()
	p := newPeer(server, nil)
	defer p.stopChannels()
	publish := func(id uint64) {
		t.Helper()
		frame := &relayv1.ConnectRequest{Publishes: []*relayv1.Publish{
			{Id: id, Group: "/a", Kind: relayv1.PacketKind_PACKET_KIND_TEXT, Payload: []byte("x")},
		}}
		if id == 1 {
			frame.Hello = &relayv1.Hello{Edge: 7, Protocol: 1, OldestProtocol: 1}
		}
		if err := p.handle(frame); err != nil {
			t.Fatal(err)
		}
	}

	publish(1)
	p.out.finish()
	if p.out.finished() {
		t.Error("it ended before the result of the first was sent")
	}
	publish(2) // which may still be taken, and so is waited for
	if frame := p.out.next(); len(frame.GetResults()) != 2 || !p.out.finished() {
		t.Fatalf("the last frame: %v, want both results, and the end", frame)
	}
	publish(3)
	if n := store.seq.Load(); n != 2 {
		t.Errorf("%d packets got to the store, want the 2 that are confirmed", n)
	}
}

func TestEdgesThatCannotWorkWithThisVersionAreRefused(t *testing.T) {
	newest := relayversion.Ours.Newest
	for _, tt := range []struct {
		oldest, newest uint32
		want           codes.Code
		says           string
	}{
		{relayversion.Ours.Oldest, newest, codes.OK, ""},
		{newest, newest + 1, codes.OK, ""},
		{newest + 1, newest + 2, codes.FailedPrecondition, "update the history service"},
		{0, 0, codes.FailedPrecondition, "update the edge"},
	} {
		_, server := instantServer()
		p := newPeer(server, nil)
		server.fleet.begin(p)
		err := p.handle(&relayv1.ConnectRequest{Hello: &relayv1.Hello{
			Edge: 7, Version: "v9.8.7", OldestProtocol: tt.oldest, Protocol: tt.newest,
		}})
		if status.Code(err) != tt.want || tt.says != "" && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("edge with protocols %d to %d: got %v, want %v with %q", tt.oldest, tt.newest, err, tt.want, tt.says)
		}
		if alarms := server.Alarms(); (len(alarms) == 1 && alarms[0].Name == "GotapiVersionsDiffer" && strings.Contains(alarms[0].Text, tt.says)) != (tt.says != "") {
			t.Errorf("edge with protocols %d to %d: alarms %v, want one only of an edge that is refused", tt.oldest, tt.newest, alarms)
		}
		known := server.fleet.versions()["v9.8.7"]
		if (tt.want == codes.OK) != (known == 1) {
			t.Errorf("edge with protocols %d to %d: known %d times", tt.oldest, tt.newest, known)
		}
	}
}
