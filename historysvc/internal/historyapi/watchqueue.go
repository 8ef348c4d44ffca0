package historyapi

import (
	"sync"

	"github.com/gotapi/gotapi-ws/historysvc/internal/feed"
	"github.com/gotapi/gotapi-ws/internal/quota"
	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const (
	// Bytes that may wait for one call of Watch, if its caller may hold as many. Beyond
	// that, its groups' stored events wait in the store, and others are dropped.
	maxWatchBytes = 4 << 20
	// About what a response occupies beside its packet, bytes.
	responseOverhead = 256
)

// watchQueue holds the responses that wait to be sent to one call of Watch, over
// all its groups.
type watchQueue struct {
	// Holds a token when there may be something to send.
	wake chan struct{}

	mu        sync.Mutex
	responses []*historyv1.WatchResponse
	bytes     int
	// What the caller holds: callBytes and, but for what came last, bytes.
	held quota.Held
	// How often take was called.
	takes   uint64
	refused []*watcher
	failure *watchFailure
}

// watchFailure ends a call of Watch: one of its groups cannot be followed.
type watchFailure struct {
	group group.Name
	err   error
}

// newWatchQueue returns a queue that releases held when it ends.
func newWatchQueue(held quota.Held) *watchQueue {
	return &watchQueue{wake: make(chan struct{}, 1), held: held}
}

// end releases what the caller holds. Nothing is delivered any more.
func (q *watchQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held.Release()
}

// hasRoom reports whether more events of w have room, or notes that w waits.
func (q *watchQueue) hasRoom(w *watcher) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	// One that holds nothing has room, or nobody would tell when there is some.
	if q.bytes == 0 || q.bytes < maxWatchBytes && q.held.Grow(callBytes+int64(q.bytes)) {
		return true
	}
	if !w.waits {
		w.waits = true
		q.refused = append(q.refused, w)
	}
	return false
}

// add adds responses of w whether or not there is room.
func (q *watchQueue) add(w *watcher, responses ...*historyv1.WatchResponse) {
	if len(responses) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(w, responses...)
}

// put does the same for a caller that holds q.mu.
func (q *watchQueue) put(w *watcher, responses ...*historyv1.WatchResponse) {
	for _, r := range responses {
		q.bytes += watchSize(r)
	}
	q.responses = append(q.responses, responses...)
	w.gap = nil
	q.wakeUp()
}

// drop reports packets that are missing now, at most once
// after each response that had room, so the queue stays bounded.
func (q *watchQueue) drop(w *watcher, packets int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.gap == nil || w.gapTakes != q.takes {
		gap := &historyv1.Gap{Reason: "unstored packets were dropped: the caller reads too slowly"}
		r := w.response()
		r.Event = &historyv1.WatchResponse_Gap{Gap: gap}
		q.put(w, r)
		w.gap, w.gapTakes = gap, q.takes
	}
	w.gap.DroppedPackets += uint64(packets)
}

func (q *watchQueue) fail(g group.Name, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failure = &watchFailure{g, err}
	q.wakeUp()
}

func (q *watchQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all responses. They occupy their room until sent is called.
func (q *watchQueue) take() ([]*historyv1.WatchResponse, *watchFailure) {
	q.mu.Lock()
	defer q.mu.Unlock()
	responses := q.responses
	q.responses = nil
	q.takes++
	return responses, q.failure
}

// sent frees the room of responses and resumes the groups that wait for it.
func (q *watchQueue) sent(responses []*historyv1.WatchResponse) {
	q.mu.Lock()
	for _, r := range responses {
		q.bytes -= watchSize(r)
	}
	q.held.Shrink(callBytes + int64(q.bytes))
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
	return responseOverhead + len(r.GetMessage().GetPacket()) + len(r.GetPacket().GetPacket())
}

// watcher makes responses of the events of one group. It is a feed.Sink.
type watcher struct {
	group    group.Name
	queue    *watchQueue
	follower *feed.Follower
	// After the last event. The follower calls one method at a time.
	at stream.Position
	// Of the last response.
	told    stream.Position
	started bool
	// Guarded by queue.mu: it waits for room; and its last response, if that tells of
	// missing packets, with queue.takes of then.
	waits    bool
	gap      *historyv1.Gap
	gapTakes uint64
}

var _ feed.Sink = (*watcher)(nil)

// Attached implements feed.Sink.
func (w *watcher) Attached(at stream.Position, gap bool) {
	w.at = at
	if !w.started {
		w.started = true
		r := w.response()
		r.Event = &historyv1.WatchResponse_Started{Started: &historyv1.Started{}}
		w.queue.add(w, r)
	}
	if gap {
		r := w.response()
		r.Event = &historyv1.WatchResponse_Gap{Gap: &historyv1.Gap{
			Reason: "messages after the starting position were lost, trimmed or expired, or the position is unknown",
		}}
		w.queue.add(w, r)
	}
}

// Deliver implements feed.Sink.
func (w *watcher) Deliver(epoch stream.Epoch, events []stream.Event) bool {
	if !w.queue.hasRoom(w) {
		return false
	}
	responses := make([]*historyv1.WatchResponse, 0, len(events)+1)
	for i := range events {
		if r := w.responseTo(epoch, &events[i]); r != nil {
			responses = append(responses, r)
		}
	}
	if w.at != w.told {
		r := w.response()
		r.Event = &historyv1.WatchResponse_Moved{Moved: &historyv1.Moved{}}
		responses = append(responses, r)
	}
	w.queue.add(w, responses...)
	return true
}

// Lost implements feed.Sink.
func (w *watcher) Lost(packets int) { w.queue.drop(w, packets) }

// responseTo moves on to the position after e. It returns nil if the caller need not
// know of e.
func (w *watcher) responseTo(epoch stream.Epoch, e *stream.Event) *historyv1.WatchResponse {
	if e.Kind.Stored() {
		w.at.Epoch, w.at.Seq, w.at.Link = epoch, e.Seq, e.Link
	}
	if e.Kind == stream.Recall {
		w.at.Changes = e.Changes
	}
	if e.Kind == stream.Tombstone {
		return nil
	}
	r := w.response()
	by, key := e.By.Names()
	switch e.Kind {
	case stream.Message:
		r.Event = &historyv1.WatchResponse_Message{Message: &historyv1.Message{Packet: e.Payload, Seq: e.Seq, At: e.At, By: by, Key: key}}
	case stream.Recall:
		r.Event = &historyv1.WatchResponse_Recalled{Recalled: &historyv1.Recalled{Uuid: e.UUID, Seq: e.Target, At: e.At, By: by, Key: key}}
	default:
		r.Event = &historyv1.WatchResponse_Packet{Packet: &historyv1.Packet{Packet: e.Payload, By: by, Key: key}}
	}
	return r
}

func (w *watcher) response() *historyv1.WatchResponse {
	w.told = w.at
	return &historyv1.WatchResponse{GroupName: string(w.group), Position: w.at.Text(w.group)}
}

// Failed implements feed.Sink.
func (w *watcher) Failed(err error) { w.queue.fail(w.group, err) }
