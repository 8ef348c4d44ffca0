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

	mu   sync.Mutex
	open int
	from map[string]int
}

func newBoundedListener(ln net.Listener, total, each int) *boundedListener {
	return &boundedListener{Listener: ln, total: total, each: each, from: make(map[string]int)}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = "" // no TCP
		}
		if l.add(host) {
			return &countedConn{Conn: conn, release: sync.OnceFunc(func() { l.remove(host) })}, nil
		}
		_ = conn.Close() // nobody to tell
	}
}

func (l *boundedListener) add(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total || l.from[host] >= l.each {
		return false
	}
	l.open++
	l.from[host]++
	return true
}

func (l *boundedListener) remove(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.from[host]--; l.from[host] == 0 {
		delete(l.from, host)
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
