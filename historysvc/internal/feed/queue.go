package feed

import (
	"context"
	"sync"
)

// queue hands followers to a bounded number of workers. A follower is in it at
// most once, so the number of followers bounds it.
type queue struct {
	workers, batch int
	// Called with at most batch followers.
	work func(context.Context, []*Follower)
	// Holds a token for each worker that may have something to do.
	wake chan struct{}

	mu      sync.Mutex
	waiting []*Follower
}

func newQueue(workers, batch int, work func(context.Context, []*Follower)) *queue {
	return &queue{workers: workers, batch: batch, work: work, wake: make(chan struct{}, workers)}
}

func (q *queue) add(f *Follower) {
	q.mu.Lock()
	q.waiting = append(q.waiting, f)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// depth is how many wait.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// run works until ctx ends.
func (q *queue) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range q.workers {
		workers.Go(func() { q.serve(ctx) })
	}
	workers.Wait()
}

func (q *queue) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for next := q.next(); len(next) > 0 && ctx.Err() == nil; next = q.next() {
			q.work(ctx, next)
		}
	}
}

// next takes what waits.
func (q *queue) next() []*Follower {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(q.batch, len(q.waiting))
	next := append([]*Follower(nil), q.waiting[:n]...)
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	return next
}
