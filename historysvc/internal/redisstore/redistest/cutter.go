package redistest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Cutter is between a client and its server, and cuts connections on request, so that
// commands are executed but not answered.
type Cutter struct {
	listener net.Listener
	// Where new connections lead.
	server atomic.Pointer[string]
	// Answers to connections on which this was written are swallowed.
	word  atomic.Pointer[string]
	left  atomic.Int64
	conns sync.WaitGroup
}

// StartCutter starts a Cutter in front of a server. It ends with tb.
func StartCutter(tb testing.TB, server *Server) *Cutter {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cutter{listener: l}
	c.Move(server)
	c.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Go(func() { c.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		l.Close()
		c.conns.Wait()
	})
	return c
}

// Addr is host:port.
func (c *Cutter) Addr() string { return c.listener.Addr().String() }

// Move leads new connections to another server, as a name does that moves. Those
// that are open stay.
func (c *Cutter) Move(server *Server) { c.server.Store(&server.Addr) }

// Cut swallows the answers to the next n commands with that word.
func (c *Cutter) Cut(word string, n int64) {
	c.word.Store(&word)
	c.left.Store(n)
}

// Left is how many answers are still to be swallowed.
func (c *Cutter) Left() int64 { return max(0, c.left.Load()) }

func (c *Cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", *c.server.Load()) //nolint:noctx // on loopback
	if err != nil {
		return
	}
	defer server.Close()
	var silent atomic.Bool
	var back sync.WaitGroup
	back.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || silent.Load() {
				client.Close()
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if word := c.word.Load(); word != nil && c.left.Load() > 0 && bytes.Contains(buf[:n], []byte(*word)) && c.left.Add(-1) >= 0 {
			silent.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	server.Close()
	back.Wait()
}
