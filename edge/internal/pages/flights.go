package pages

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience is how long a call waits for the one before it. If that takes longer, it
// hangs; the next one may reach another history service.
const patience = 100 * time.Millisecond

// flights lets requests for one page share calls. A request that comes while a call is
// under way waits for the next one, together with all others that come until that begins. A
// call never answers a request that came after it began: each request gets a page that
// is no older than itself, as with a call of its own. A call ends when nobody waits for
// it any more.
type flights struct {
	mu sync.Mutex
	of map[flightKey]*queue
}

// flightKey is everything that the answer to a request depends on.
type flightKey struct {
	key
	known string
}

// queue has the calls for one key.
type queue struct {
	// The one that began last; nil if it has ended.
	running *flight
	// The one that has not begun yet; nil if no request waits for it.
	next *flight
}

// flight is one call. Its result is there when done is closed.
type flight struct {
	// Of the call: it ends with the last of those that wait.
	ctx     context.Context //nolint:containedctx // the call has it, and nobody else
	cancel  context.CancelFunc
	waiting int
	done    chan struct{}
	page    Page
	err     error
}

func newFlights() *flights { return &flights{of: make(map[flightKey]*queue)} }

// do returns the result of a call that begins now or later, its own or a shared one. It
// takes as long as call does, and up to patience before that. If ctx ends, it returns
// no later than the call does. The context of a call has the values of one of the callers
// that share it.
func (f *flights) do(ctx context.Context, k flightKey, call func(context.Context) (Page, error)) (_ Page, shared bool, err error) {
	mine, before := f.join(ctx, k)
	if before.shared {
		select {
		case <-mine.done:
			return mine.page, true, mine.err
		case <-ctx.Done():
			f.leave(k, mine)
			return Page{}, true, status.FromContextError(ctx.Err()).Err()
		}
	}
	defer context.AfterFunc(ctx, func() { f.leave(k, mine) })()
	if before.running != nil {
		before.running.wait(mine.ctx)
	}
	f.run(k, mine, call)
	return mine.page, false, mine.err
}

// found is what a request finds when it comes.
type found struct {
	// Its call is that of another request.
	shared  bool
	running *flight
}

// join returns the call that answers a request which comes now.
func (f *flights) join(ctx context.Context, k flightKey) (mine *flight, before found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of[k]
	if t == nil {
		t = new(queue)
		f.of[k] = t
	}
	before = found{shared: t.next != nil, running: t.running}
	if !before.shared {
		t.next = &flight{done: make(chan struct{}), err: errUnfinished}
		t.next.ctx, t.next.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	t.next.waiting++
	return t.next, before
}

// leave ends a call if the request that leaves was the last to wait for it.
func (f *flights) leave(k flightKey, mine *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if mine.waiting--; mine.waiting > 0 {
		return
	}
	mine.cancel()
	if t := f.of[k]; t != nil && t.next == mine { // nobody joins it any more
		t.next = nil
		f.tidy(k, t)
	}
}

// wait returns when the call has ended, or should have, or ctx ends.
func (f *flight) wait(ctx context.Context) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-f.done:
	case <-timeout.C:
	case <-ctx.Done():
	}
}

// run makes the call for all those that wait for mine.
func (f *flights) run(k flightKey, mine *flight, call func(context.Context) (Page, error)) {
	defer mine.cancel()
	defer close(mine.done) // also when it panics
	if !f.begin(k, mine) {
		mine.err = status.FromContextError(mine.ctx.Err()).Err()
		return
	}
	defer f.end(k, mine)
	mine.page, mine.err = call(mine.ctx)
}

// begin reports whether mine is to begin: somebody waits for it.
func (f *flights) begin(k flightKey, mine *flight) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of[k]
	if t == nil || t.next != mine {
		return false
	}
	t.running, t.next = mine, nil
	return true
}

func (f *flights) end(k flightKey, mine *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.of[k]; t != nil && t.running == mine {
		t.running = nil
		f.tidy(k, t)
	}
}

// tidy forgets a queue that is empty. It needs the lock.
func (f *flights) tidy(k flightKey, t *queue) {
	if t.running == nil && t.next == nil {
		delete(f.of, k)
	}
}

var errUnfinished = status.Error(codes.Internal, "the call was not finished")
