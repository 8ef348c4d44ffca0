package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Checks tell whether a process is ready for work. A nil one forgets the checks that
// are added. It is safe for concurrent use.
type Checks struct {
	mu       sync.Mutex
	all      []check
	stopping bool
	// Closed at the first Add; nil before anyone waits.
	started chan struct{}
}

type check struct {
	name string
	ask  func(context.Context) error
}

// Add adds a condition of being ready. ask returns nil when it is met; it may
// take as long as its context.
func (c *Checks) Add(name string, ask func(context.Context) error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, check{name, ask})
	if len(c.all) == 1 {
		close(c.startedLocked())
	}
}

// Started is closed when the process has a condition to meet: it serves, though it may
// not be ready yet.
func (c *Checks) Started() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.startedLocked()
}

func (c *Checks) startedLocked() chan struct{} {
	if c.started == nil {
		c.started = make(chan struct{})
	}
	return c.started
}

// Stop makes the process not ready for good: it goes down.
func (c *Checks) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
}

// Ready returns nil if every condition is met. Before there is one the process
// is still starting.
func (c *Checks) Ready(ctx context.Context) error {
	c.mu.Lock()
	all, stopping := c.all, c.stopping
	c.mu.Unlock()
	switch {
	case stopping:
		return errors.New("going down")
	case len(all) == 0:
		return errors.New("starting")
	}
	var failed []error
	for _, one := range all {
		if err := one.ask(ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", one.name, err))
		}
	}
	return errors.Join(failed...)
}
