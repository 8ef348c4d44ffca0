package historyapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// newQueue returns the queue of a call whose caller holds callBytes of share.
func newQueue(share *quota.Share) *watchQueue {
	held, _ := share.TryAcquire("", callBytes)
	return newWatchQueue(held)
}

func TestWatchesThatTakeNothingShareABudget(t *testing.T) {
	share := quota.NewShare(1 << 20)
	event := []stream.Event{{Kind: stream.Text, Payload: []byte(strings.Repeat("x", 100<<10))}}
	idle, other := newQueue(share), newQueue(share)
	w := &watcher{group: "/a", queue: idle}
	taken := 0
	for w.Deliver(1, event) {
		if taken++; taken > 20 {
			t.Fatalf("a watch that takes nothing got %d events of 100 KiB from a budget of 1 MiB", taken)
		}
	}
	// One at a time is delivered all the same.
	next := &watcher{group: "/a", queue: other}
	if !next.Deliver(1, event) || next.Deliver(1, event) {
		t.Error("another watch does not get one event, or two although the budget is used up")
	}
	idle.end()
	if !next.Deliver(1, event) {
		t.Error("another watch is refused although the budget is free again")
	}
	other.end()
	if share.Used() != 0 {
		t.Errorf("%d bytes are still held", share.Used())
	}
}

// said returns what waits to be sent, in short.
func said(q *watchQueue) (all []string) {
	responses, _ := q.take()
	for _, r := range responses {
		switch {
		case r.GetStarted() != nil:
			all = append(all, "started")
		case r.GetGap().GetDroppedPackets() > 0:
			all = append(all, fmt.Sprint("dropped ", r.GetGap().GetDroppedPackets()))
		case r.GetGap() != nil:
			all = append(all, "gap")
		case r.GetMoved() != nil:
			at, _ := stream.ParsePosition("/a", r.GetPosition())
			all = append(all, fmt.Sprintf("moved to %d/%d", at.Seq, at.Changes))
		case r.GetPacket() != nil:
			all = append(all, string(r.GetPacket().GetPacket()))
		case r.GetRecalled() != nil:
			all = append(all, "recall "+r.GetRecalled().GetUuid())
		default:
			all = append(all, string(r.GetMessage().GetPacket()))
		}
	}
	q.sent(responses)
	return all
}

func TestEveryRecallIsSent(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(1, []stream.Event{
		{Kind: stream.Message, Seq: 1, Payload: []byte("one")},
		{Kind: stream.Tombstone, Seq: 2, UUID: "u2"},
		{Kind: stream.Recall, Seq: 2, Changes: 1, Target: 2, UUID: "u2"},
		{Kind: stream.Recall, Seq: 2, Changes: 2, Target: 1, UUID: "u1"},
	})
	if diff := cmp.Diff([]string{"started", "one", "recall u2", "recall u1"}, said(q)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestEventsSayWhenAndWho(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(7, []stream.Event{
		{Kind: stream.Message, Seq: 1, Link: 3, Payload: []byte("one"), At: 1000, By: stream.Author{Name: "alice"}},
		{Kind: stream.Recall, Seq: 1, Link: 4, Changes: 1, Target: 1, UUID: "u1", At: 2000, By: stream.Author{Name: "shop", Key: true}},
		{Kind: stream.Text, Payload: []byte("low"), By: stream.Author{Name: "alice"}},
		{Kind: stream.Binary, Payload: []byte{0xff}},
	})
	after := func(seq, changes uint64, link stream.Link) string {
		return stream.Position{Epoch: 7, Seq: seq, Changes: changes, Link: link}.Text("/a")
	}
	want := []*historyv1.WatchResponse{
		{GroupName: "/a", Position: stream.Position{}.Text("/a"), Event: &historyv1.WatchResponse_Started{Started: &historyv1.Started{}}},
		{GroupName: "/a", Position: after(1, 0, 3), Event: &historyv1.WatchResponse_Message{
			Message: &historyv1.Message{Packet: []byte("one"), Seq: 1, At: 1000, By: "alice"},
		}},
		{GroupName: "/a", Position: after(1, 1, 4), Event: &historyv1.WatchResponse_Recalled{
			Recalled: &historyv1.Recalled{Uuid: "u1", Seq: 1, At: 2000, Key: "shop"},
		}},
		{GroupName: "/a", Position: after(1, 1, 4), Event: &historyv1.WatchResponse_Packet{
			Packet: &historyv1.Packet{Packet: []byte("low"), By: "alice"},
		}},
		{GroupName: "/a", Position: after(1, 1, 4), Event: &historyv1.WatchResponse_Packet{
			Packet: &historyv1.Packet{Packet: []byte{0xff}},
		}},
	}
	got, _ := q.take()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestCallerIsGivenThePositionAfterEventsThatItIsNotSent(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(1, []stream.Event{
		{Kind: stream.Message, Seq: 1, Payload: []byte("one")},
		{Kind: stream.Tombstone, Seq: 2},
		{Kind: stream.Message, Seq: 3, Payload: []byte("three")},
		{Kind: stream.Recall, Seq: 3, Changes: 1, Target: 2, UUID: "u2"},
		{Kind: stream.Tombstone, Seq: 4},
	})
	w.Deliver(1, []stream.Event{{Kind: stream.Text, Payload: []byte("packet")}})
	if diff := cmp.Diff([]string{"started", "one", "three", "recall u2", "moved to 4/1", "packet"}, said(q)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestPacketsThatAreMissingAreToldOnceForEachTimeThatTheQueueIsSent(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w, other := &watcher{group: "/a", queue: q}, &watcher{group: "/b", queue: q}
	w.Attached(stream.Position{}, false)
	packet := func(text string) []stream.Event { return []stream.Event{{Kind: stream.Text, Payload: []byte(text)}} }
	w.Lost(1)
	other.Lost(10)
	w.Lost(2)
	w.Deliver(1, packet("a"))
	w.Lost(4)
	if diff := cmp.Diff([]string{"started", "dropped 3", "dropped 10", "a", "dropped 4"}, said(q)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	w.Lost(5)
	if diff := cmp.Diff([]string{"dropped 5"}, said(q)); diff != "" {
		t.Errorf("sent later (-want +got):\n%s", diff)
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are counted in an empty queue", q.bytes)
	}
}

func TestRecallAfterAGapIsSent(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(1, []stream.Event{{Kind: stream.Tombstone, Seq: 1, UUID: "u1"}})
	w.Attached(stream.Position{Epoch: 1, Seq: 5}, true)
	w.Deliver(1, []stream.Event{{Kind: stream.Recall, Seq: 5, Changes: 1, Target: 1, UUID: "u1"}})
	if diff := cmp.Diff([]string{"started", "moved to 1/0", "gap", "recall u1"}, said(q)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}
