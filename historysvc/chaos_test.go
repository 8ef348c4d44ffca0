package historysvc_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// TestEdgesMissNothingWhileTheBusIsCut runs two services on a real Redis that
// cuts their subscriptions again and again, while messages are published
// through both and some are recalled.
func TestEdgesMissNothingWhileTheBusIsCut(t *testing.T) {
	redis := redistest.Start(t)
	url := redis.URL()
	services := []*service{
		startWith(t, settings(t, "-listen", "127.0.0.1:0", "-redis", url), nil),
		startWith(t, settings(t, "-listen", "127.0.0.1:0", "-redis", url), nil),
	}
	edges := make([]*edge, 0, len(services))
	for i, s := range services {
		e := s.edge(t, uint64(10+i))
		e.attach(1, room, nil)
		edges = append(edges, e)
	}
	stop := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() { cutSubscriptions(t, redis, stop) })

	const n = 1500
	recalls := 0
	for i := range n {
		s := services[i%2]
		uuid := fmt.Sprint("u", i)
		if _, err := s.history.Publish(t.Context(), &historyv1.PublishRequest{GroupName: room, Packet: data(uuid)}); err != nil {
			t.Fatalf("publish %d: %v", i, err)
		}
		if i%50 == 0 {
			recalls++
			if _, err := s.history.Cancel(t.Context(), &historyv1.CancelRequest{GroupName: room, Uuid: uuid}); err != nil {
				t.Fatalf("recall %d: %v", i, err)
			}
		}
	}
	close(stop)
	cutter.Wait()
	for i, e := range edges {
		e.until(func() bool { return len(e.events[1]) >= n+recalls })
		e.inOrder(t, i, 1)
	}
}

// inOrder checks that the events of a channel are a stream without a hole.
func (e *edge) inOrder(t *testing.T, name int, channel uint32) {
	t.Helper()
	if len(e.attached[channel]) != 1 {
		t.Errorf("edge %d: attached %v, want once", name, e.attached[channel])
	}
	var seq, recalls uint64
	for i, ev := range e.events[channel] {
		if i > 0 && ev.GetPrev() != e.events[channel][i-1].GetLink() {
			t.Fatalf("edge %d: event %d does not link to the one before", name, i)
		}
		switch ev.GetKind() {
		case relayv1.EventKind_EVENT_KIND_RECALL:
			recalls++
			if ev.GetChanges() != recalls || ev.GetSeq() != seq {
				t.Fatalf("edge %d: event %d: %v, want recall %d after message %d", name, i, ev, recalls, seq)
			}
		default:
			seq++
			if ev.GetSeq() != seq {
				t.Fatalf("edge %d: event %d: %v, want message %d", name, i, ev, seq)
			}
		}
	}
}

// cutSubscriptions ends the connections that subscribe, every few milliseconds.
func cutSubscriptions(t *testing.T, redis *redistest.Server, stop <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if answer, err := redis.Do("CLIENT KILL TYPE pubsub"); err != nil || answer[0] != ':' {
				t.Errorf("cut: %q, %v", answer, err)
			}
		}
	}
}

// TestListOfAnOlderServerIsFollowedWithoutAGap attaches before the list was
// ever touched by this service.
func TestListOfAnOlderServerIsFollowedWithoutAGap(t *testing.T) {
	s := start(t)
	for i := range 20 {
		if _, err := s.redis.Lpush(room, string(data(fmt.Sprint("old", i)))); err != nil {
			t.Fatal(err)
		}
	}
	e := s.edge(t, 7)
	e.attach(1, room, nil)
	s.publish(t, data("new"))
	e.until(func() bool { return len(e.events[1]) == 1 })
	at, first := e.attached[1][0].GetPosition(), e.events[1][0]
	if len(e.attached[1]) != 1 || first.GetSeq() != at.GetSeq()+1 || first.GetPrev() != at.GetLink() {
		t.Errorf("attached %v, then got %v", e.attached[1], first)
	}
	// What was there before can be resumed from, too.
	w, err := s.history.Watch(t.Context(), &historyv1.WatchRequest{Groups: []*historyv1.WatchedGroup{
		{GroupName: room, Start: &historyv1.WatchedGroup_AfterUuid{AfterUuid: "old18"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"started", string(data("old19")), string(data("new"))} {
		r, err := w.Recv()
		if err != nil || said(r) != want {
			t.Fatalf("watch: %v, %v, want %s", r, err, want)
		}
	}
}
