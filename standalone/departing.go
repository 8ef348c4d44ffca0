package standalone

import (
	"net"
	"sync"
	"sync/atomic"
)

// departing is a listener that can leave its address before it is closed: a process that
// takes the place of this one must be able to listen while members of the edge are still
// served here. Accept goes on as if no connection came.
type departing struct {
	net.Listener
	left   atomic.Bool
	closed chan struct{}
	close  func()
}

func newDeparting(ln net.Listener) *departing {
	d := &departing{Listener: ln, closed: make(chan struct{})}
	d.close = sync.OnceFunc(func() { close(d.closed) })
	return d
}

// leave gives the address up.
func (d *departing) leave() {
	d.left.Store(true)
	_ = d.Listener.Close() // Close does it again
}

// Accept implements net.Listener.
func (d *departing) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil && d.left.Load() {
		<-d.closed
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close implements net.Listener.
func (d *departing) Close() error {
	d.close()
	return d.Listener.Close()
}
