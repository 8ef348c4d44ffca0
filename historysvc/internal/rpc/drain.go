package rpc

import "sync"

// Drain is a signal that the service is going down. It is safe for concurrent
// use.
type Drain struct {
	once sync.Once
	done chan struct{}
}

// NewDrain returns a Drain that has not begun.
func NewDrain() *Drain { return &Drain{done: make(chan struct{})} }

// Begin gives the signal.
func (d *Drain) Begin() { d.once.Do(func() { close(d.done) }) }

// Done returns a channel that is closed when the drain begins.
func (d *Drain) Done() <-chan struct{} { return d.done }

// Begun reports whether the signal was given.
func (d *Drain) Begun() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
