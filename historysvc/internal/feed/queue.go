package feed

import "sync"

// queue hands followers to a bounded number of workers, which exist only while
// something waits. A follower is in it at most once, so the number of
// followers bounds it.
type queue struct {
	workers, batch int
	// Called with at most batch followers.
	work func([]*Follower)
	done sync.WaitGroup

	mu      sync.Mutex
	waiting []*Follower
	running int
	closed  bool
}

func newQueue(workers, batch int, work func([]*Follower)) *queue {
	return &queue{workers: workers, batch: batch, work: work}
}

// add is of no effect once the queue is closed.
func (q *queue) add(f *Follower) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, f)
	if q.running < q.workers {
		q.running++
		q.done.Go(q.run)
	}
}

func (q *queue) run() {
	for {
		next := q.next()
		if len(next) == 0 {
			return
		}
		q.work(next)
	}
}

// next takes what waits. When that is nothing, the worker is no longer counted.
func (q *queue) next() []*Follower {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(q.batch, len(q.waiting))
	if n == 0 || q.closed {
		q.running--
		return nil
	}
	next := append([]*Follower(nil), q.waiting[:n]...)
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	return next
}

// close drops what waits, and waits for the workers.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.waiting = nil
	q.mu.Unlock()
	q.done.Wait()
}
