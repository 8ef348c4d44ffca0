package historyapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/internal/quota"
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
			all = append(all, fmt.Sprintf("moved to %d/%d", r.GetPosition().GetSeq(), r.GetPosition().GetChanges()))
		case r.GetPacket() != nil:
			all = append(all, string(r.GetPacket()))
		case r.GetRecalled() != "":
			all = append(all, "recall "+r.GetRecalled())
		default:
			all = append(all, string(r.GetMessage()))
		}
	}
	q.sent(responses)
	return all
}

func TestRecallIsSentToThoseThatWereSentTheMessage(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(1, []stream.Event{
		{Kind: stream.Message, Seq: 1, Payload: []byte("one")},
		{Kind: stream.Tombstone, Seq: 2, UUID: "u2"},
		{Kind: stream.Recall, Seq: 2, Changes: 1, Target: 2, UUID: "u2"},
		{Kind: stream.Recall, Seq: 2, Changes: 2, Target: 1, UUID: "u1"},
	})
	if diff := cmp.Diff([]string{"started", "one", "recall u1"}, said(q)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestRefusedRecallOfATombstoneIsNotSentLater(t *testing.T) {
	q := newQueue(quota.NewShare(64 << 20))
	w := &watcher{group: "/a", queue: q}
	w.Attached(stream.Position{}, false)
	w.Deliver(1, []stream.Event{{Kind: stream.Tombstone, Seq: 1, UUID: "u1"}})
	full := strings.Repeat("x", maxWatchBytes)
	w.Deliver(1, []stream.Event{{Kind: stream.Message, Seq: 2, Payload: []byte(full)}})
	recall := []stream.Event{{Kind: stream.Recall, Seq: 2, Changes: 1, Target: 1, UUID: "u1"}}
	if w.Deliver(1, recall) {
		t.Fatal("a full queue takes an event")
	}
	_, _ = q.take()
	q.bytes, q.refused, w.waits = 0, nil, false // as sent does, but no follower waits here
	if !w.Deliver(1, recall) {
		t.Fatal("an empty queue takes nothing")
	}
	if diff := cmp.Diff([]string{"moved to 2/1"}, said(q)); diff != "" {
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
	if diff := cmp.Diff([]string{"started", "one", "three", "moved to 4/1", "packet"}, said(q)); diff != "" {
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
