// Package semaphore lets a few holders at a time use a shared resource, such as
// Redis, and lets those with different keys, such as groups, take turns: one key
// with many waiters delays the others by one holder each round.
package semaphore

import (
	"context"
	"slices"
	"sync"
)

// Fair is a semaphore. Its methods are safe for concurrent use.
type Fair struct {
	maxWaiting, maxPerKey int
	full                  error

	mu   sync.Mutex
	free int
	// Waiters of each key, first come first served. They are closed when they hold
	// the semaphore.
	waiting map[string][]chan struct{}
	// The keys with waiters, in the order of their turns.
	turns []string
	count int
}

// New returns a semaphore with so many holders. maxWaiting and maxPerKey bound the
// waiters, in total and of one key; full is the error of those beyond.
func New(holders, maxWaiting, maxPerKey int, full error) *Fair {
	return &Fair{
		free: holders, maxWaiting: maxWaiting, maxPerKey: maxPerKey, full: full,
		waiting: make(map[string][]chan struct{}),
	}
}

// Acquire waits for the semaphore until ctx ends. It returns nil if the caller holds
// it; then the caller must call Release.
func (f *Fair) Acquire(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn, err := f.enqueue(key)
	if turn == nil || err != nil {
		return err
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	if !f.dequeue(key, turn) {
		f.Release() // the turn came at the same moment
	}
	return ctx.Err()
}

// enqueue returns nil if there is nothing to wait for.
func (f *Fair) enqueue(key string) (chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free > 0 {
		f.free--
		return nil, nil
	}
	if f.count >= f.maxWaiting || len(f.waiting[key]) >= f.maxPerKey {
		return nil, f.full
	}
	turn := make(chan struct{})
	if len(f.waiting[key]) == 0 {
		f.turns = append(f.turns, key)
	}
	f.waiting[key] = append(f.waiting[key], turn)
	f.count++
	return turn, nil
}

// dequeue removes a waiter. It returns false if the waiter holds the semaphore.
func (f *Fair) dequeue(key string, turn chan struct{}) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := slices.Index(f.waiting[key], turn)
	if n < 0 {
		return false
	}
	f.count--
	if f.waiting[key] = slices.Delete(f.waiting[key], n, n+1); len(f.waiting[key]) == 0 {
		delete(f.waiting, key)
		n = slices.Index(f.turns, key)
		f.turns = slices.Delete(f.turns, n, n+1)
	}
	return true
}

// Release hands the semaphore to the first waiter of the next key.
func (f *Fair) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.turns) == 0 {
		f.free++
		return
	}
	key := f.turns[0]
	f.turns = f.turns[1:]
	first, rest := f.waiting[key][0], f.waiting[key][1:]
	f.count--
	if len(rest) == 0 {
		delete(f.waiting, key)
	} else {
		f.waiting[key] = rest
		f.turns = append(f.turns, key)
	}
	close(first)
}

// Waiting returns how many wait.
func (f *Fair) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}
