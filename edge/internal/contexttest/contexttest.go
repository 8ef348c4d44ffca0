// Package contexttest has a context for tests of those who wait until one ends.
package contexttest

import "context"

// Late is a context that ends without having started what waits for its end, as any context
// may for a moment. Use NewLate.
type Late struct {
	context.Context
	done chan struct{}
}

// NewLate returns a Late that ends with End only.
func NewLate(parent context.Context) *Late {
	return &Late{Context: context.WithoutCancel(parent), done: make(chan struct{})}
}

// End ends it.
func (c *Late) End() { close(c.done) }

// Done implements context.Context.
func (c *Late) Done() <-chan struct{} { return c.done }

// Err implements context.Context.
func (c *Late) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// AfterFunc is what package context calls.
func (*Late) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }
