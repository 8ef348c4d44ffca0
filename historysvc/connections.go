package historysvc

import (
	"net"
	"sync"
)

// Connections that the service holds open, altogether and of one address. An edge needs
// one, a caller a few; without a bound, strangers could use up the file descriptors.
const (
	maxConnections        = 8192
	maxAddressConnections = 1024
)

// boundedListener closes connections that come while there are too many.
type boundedListener struct {
	net.Listener
	total, each int

	mu sync.Mutex
	// By the address of the peer, with the port.
	open map[string]net.Conn
	from map[string]int
}

func newBoundedListener(ln net.Listener, total, each int) *boundedListener {
	return &boundedListener{Listener: ln, total: total, each: each, open: make(map[string]net.Conn), from: make(map[string]int)}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.add(conn) {
			return &countedConn{Conn: conn, release: sync.OnceFunc(func() { l.remove(conn) })}, nil
		}
		_ = conn.Close() // nobody to tell
	}
}

func (l *boundedListener) add(conn net.Conn) bool {
	peer, host := peerOf(conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.total || l.from[host] >= l.each {
		return false
	}
	l.open[peer] = conn
	l.from[host]++
	return true
}

func (l *boundedListener) remove(conn net.Conn) {
	peer, host := peerOf(conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, peer)
	if l.from[host]--; l.from[host] == 0 {
		delete(l.from, host)
	}
}

func peerOf(conn net.Conn) (peer, host string) {
	peer = conn.RemoteAddr().String()
	host, _, _ = net.SplitHostPort(peer)
	return peer, host
}

// hangUp closes the connection of a peer, if it is open.
func (l *boundedListener) hangUp(peer net.Addr) {
	l.mu.Lock()
	conn := l.open[peer.String()]
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // gRPC notices, and closes it, too
	}
}

// countedConn is counted until it is closed.
type countedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
