package feed

import (
	"context"
	"sync"
)

// queue hands followers to a number of workers. A follower is in it at most once,
// so the number of followers bounds it.
type queue struct {
	// Holds a token for each worker that may have something to do.
	wake chan struct{}

	mu      sync.Mutex
	waiting []*Follower
}

func newQueue(workers int) *queue { return &queue{wake: make(chan struct{}, workers)} }

func (q *queue) add(f *Follower) {
	q.mu.Lock()
	q.waiting = append(q.waiting, f)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for followers and returns at most limit of them; nil once ctx has
// ended.
func (q *queue) take(ctx context.Context, limit int) []*Follower {
	for ctx.Err() == nil {
		if next := q.next(limit); len(next) > 0 {
			return next
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		}
	}
	return nil
}

func (q *queue) next(limit int) []*Follower {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(limit, len(q.waiting))
	next := append([]*Follower(nil), q.waiting[:n]...)
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	return next
}

// depth returns how many followers wait.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}
