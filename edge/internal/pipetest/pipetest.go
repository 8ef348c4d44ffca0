// Package pipetest connects clients and servers of tests in memory, so that they fit into a
// synctest bubble.
package pipetest

import (
	"context"
	"net"
)

// Listener hands out the server's ends of pipes.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

// NewListener returns a Listener that queues up to backlog connections.
func NewListener(backlog int) *Listener {
	return &Listener{conns: make(chan net.Conn, backlog), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error { close(l.closed); return nil }

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }

// Dial connects, whatever the network and the address.
func (l *Listener) Dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours, nil
}
