package rpc

import "sync"

// drain tells streams that the service goes down.
type drain struct {
	once sync.Once
	done chan struct{}
}

func newDrain() drain { return drain{done: make(chan struct{})} }

func (d *drain) begin() { d.once.Do(func() { close(d.done) }) }

func (d *drain) begun() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
