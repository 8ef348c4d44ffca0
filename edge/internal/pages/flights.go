package pages

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience is how long a call may wait for the one before it. Longer, and that one
// hangs: others may be luckier, on another history service.
const patience = 100 * time.Millisecond

// flights lets requests for one thing share calls: a request that comes while a
// call is under way waits for the next one, together with all that come until that
// begins. A call never answers a request that came after it began, so each gets
// what is so after it came, as with a call of its own.
type flights struct {
	mu sync.Mutex
	of map[flightKey]*turns
}

// flightKey is all that the answer to a request depends on.
type flightKey struct {
	key
	known string
}

// turns are the calls for one key.
type turns struct {
	// The one that began last.
	running *flight
	// The one that has not begun yet; nil if nobody waits for it.
	next *flight
}

// flight is one call. Its result is there when done is closed.
type flight struct {
	done chan struct{}
	page Page
	err  error
}

func newFlights() *flights { return &flights{of: make(map[flightKey]*turns)} }

// do returns the result of a call that begins now or later, by whomever it is made.
// It takes as long as call does, and up to patience before that.
func (f *flights) do(k flightKey, call func() (Page, error)) (_ Page, shared bool, err error) {
	f.mu.Lock()
	t := f.of[k]
	if t == nil {
		t = new(turns)
		f.of[k] = t
	}
	mine, before := t.next, t.running
	if mine != nil {
		f.mu.Unlock()
		<-mine.done
		return mine.page, true, mine.err
	}
	mine = &flight{done: make(chan struct{}), err: errUnfinished}
	t.next = mine
	f.mu.Unlock()
	if before != nil {
		before.wait()
	}
	f.run(k, t, mine, call)
	return mine.page, false, mine.err
}

// wait returns when the call has ended, or should have.
func (f *flight) wait() {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-f.done:
	case <-timeout.C:
	}
}

// run makes the call for all that wait for mine.
func (f *flights) run(k flightKey, t *turns, mine *flight, call func() (Page, error)) {
	f.mu.Lock()
	t.running, t.next = mine, nil
	f.mu.Unlock()
	defer func() { // also when it panics
		f.mu.Lock()
		if t.running == mine && t.next == nil {
			delete(f.of, k)
		}
		f.mu.Unlock()
		close(mine.done)
	}()
	mine.page, mine.err = call()
}

var errUnfinished = status.Error(codes.Internal, "the call was not finished")
