package rpc

import (
	"fmt"
	"sync"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// watchBytes may wait for one watcher. When they do, its groups' stored events
// wait in the store, and others are dropped.
const watchBytes = 4 << 20

// watchQueue is what waits to be sent to one watcher, over all its groups.
type watchQueue struct {
	// Holds a token when there may be something to send.
	wake chan struct{}

	mu        sync.Mutex
	responses []*historyv1.WatchResponse
	bytes     int
	refused   []*watcher
	failure   error
}

func newWatchQueue() *watchQueue { return &watchQueue{wake: make(chan struct{}, 1)} }

// push returns false, and notes that w waits, when there is no room.
func (q *watchQueue) push(w *watcher, must bool, responses ...*historyv1.WatchResponse) bool {
	q.mu.Lock()
	if q.bytes >= watchBytes && !must {
		if !w.waits {
			w.waits = true
			q.refused = append(q.refused, w)
		}
		q.mu.Unlock()
		return false
	}
	for _, r := range responses {
		q.bytes += watchSize(r)
	}
	q.responses = append(q.responses, responses...)
	q.mu.Unlock()
	q.wakeUp()
	return true
}

func (q *watchQueue) fail(err error) {
	q.mu.Lock()
	q.failure = err
	q.mu.Unlock()
	q.wakeUp()
}

func (q *watchQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all that waits. Its room is free once it is sent.
func (q *watchQueue) take() ([]*historyv1.WatchResponse, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	responses := q.responses
	q.responses = nil
	return responses, q.failure
}

// sent makes room and resumes the groups that wait for it.
func (q *watchQueue) sent(responses []*historyv1.WatchResponse) {
	q.mu.Lock()
	for _, r := range responses {
		q.bytes -= watchSize(r)
	}
	resumed := q.refused
	q.refused = nil
	for _, w := range resumed {
		w.waits = false
	}
	q.mu.Unlock()
	for _, w := range resumed {
		w.follower.Resume()
	}
}

func watchSize(r *historyv1.WatchResponse) int {
	return itemOverhead + len(r.GetMessage()) + len(r.GetPacket())
}

// watcher turns the events of one group into responses. It is a feed.Sink.
type watcher struct {
	group    group.Name
	queue    *watchQueue
	follower *feed.Follower
	// After the last response. Its methods are called one after another.
	at      stream.Position
	started bool
	// Guarded by queue.mu.
	waits bool
}

var _ feed.Sink = (*watcher)(nil)

// Attached implements feed.Sink.
func (w *watcher) Attached(at stream.Position, gap bool) {
	w.at = at
	if !w.started {
		w.started = true
		r := w.response()
		r.Event = &historyv1.WatchResponse_Started{Started: &historyv1.Started{}}
		w.queue.push(w, true, r)
	}
	if gap {
		r := w.response()
		r.Event = &historyv1.WatchResponse_Gap{Gap: &historyv1.Gap{
			Reason: "messages after the place asked for are lost, trimmed or expired, or the place is unknown",
		}}
		w.queue.push(w, true, r)
	}
}

// Deliver implements feed.Sink.
func (w *watcher) Deliver(epoch stream.Epoch, events []stream.Event) bool {
	before := w.at
	responses := make([]*historyv1.WatchResponse, 0, len(events))
	for i := range events {
		if r := w.take(epoch, &events[i]); r != nil {
			responses = append(responses, r)
		}
	}
	if !w.queue.push(w, false, responses...) {
		w.at = before
		return false
	}
	return true
}

// take moves on over e. It returns nil if the watcher need not hear of it.
func (w *watcher) take(epoch stream.Epoch, e *stream.Event) *historyv1.WatchResponse {
	if e.Kind.Stored() {
		w.at.Epoch, w.at.Seq, w.at.Link = epoch, e.Seq, e.Link
	}
	if e.Kind == stream.Recall {
		w.at.Recalls = e.Recalls
	}
	if e.Kind == stream.Tombstone || e.Silent {
		return nil
	}
	r := w.response()
	switch e.Kind {
	case stream.Message:
		r.Event = &historyv1.WatchResponse_Message{Message: e.Payload}
	case stream.Recall:
		r.Event = &historyv1.WatchResponse_Recalled{Recalled: e.UUID}
	default:
		r.Event = &historyv1.WatchResponse_Packet{Packet: e.Payload}
	}
	return r
}

func (w *watcher) response() *historyv1.WatchResponse {
	return &historyv1.WatchResponse{GroupName: string(w.group), Position: historyPosition(w.at)}
}

// Failed implements feed.Sink.
func (w *watcher) Failed(err error) { w.queue.fail(fmt.Errorf("group %s: %w", w.group, err)) }
