package hooks

import (
	"context"
	"sync"

	"github.com/gotapi/gotapi-ws/internal/fairshare"
	"github.com/gotapi/gotapi-ws/internal/semaphore"
)

// turns bounds how many packets are asked about at one time, and how many wait. Groups
// that wait take turns, however many packets each of them has.
type turns struct {
	asking *semaphore.Fair

	mu sync.Mutex
	// Packets asked about, and those that wait; all have 0 bytes.
	queue fairshare.Queue
}

func newTurns(concurrency, queue int) *turns {
	most := concurrency + queue
	return &turns{asking: semaphore.New(concurrency, most, most, fairshare.ErrFull), queue: fairshare.NewQueue(most, 0)}
}

// acquire waits for a turn of group until ctx ends, unless too many wait. release must
// follow if it returns nil.
func (t *turns) acquire(ctx context.Context, group string) error {
	if err := t.enter(group); err != nil {
		return err
	}
	err := t.asking.Acquire(ctx, group)
	if err != nil {
		t.leave(group)
	}
	return err
}

func (t *turns) enter(group string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.queue.Check(group, 0)
	if err == nil {
		t.queue.Add(group, 0)
	}
	return err
}

// release ends a turn of group, and gives it to the next one.
func (t *turns) release(group string) {
	t.asking.Release()
	t.leave(group)
}

func (t *turns) leave(group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue.Remove(group, 0)
}
