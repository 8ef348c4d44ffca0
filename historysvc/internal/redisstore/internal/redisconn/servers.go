package redisconn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// Errors of connections that are not made.
var (
	errNoMaster      = errors.New("redis is a replica that has lost its master")
	errServerChanged = errors.New("redis is another server now")
)

// connections are all open connections of a Conn, subscriptions included. They all lead to
// one server. When the name or Sentinel points to another server, or the server becomes a
// replica, all are closed, and new ones lead to the new server. A Cluster needs none of
// this: its servers redirect calls for slots that they do not own.
type connections struct {
	mu   sync.Mutex
	open map[*trackedConn]struct{}
	// How often all were closed.
	closed int
	// Why none can be made; nil if they can.
	refusal error
}

func newConnections() *connections { return &connections{open: make(map[*trackedConn]struct{})} }

// dialer makes dial a dialer of c.
func (c *connections) dialer(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		closed, err := c.admit()
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		t := &trackedConn{conn, c}
		if !c.add(t, closed) {
			conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Err: errServerChanged}
		}
		if s, ok := conn.(syscall.Conn); ok {
			return trackedSocket{t, s}, nil
		}
		return t, nil
	}
}

// admit returns how often all connections were closed before a new one is made.
func (c *connections) admit() (closed int, refusal error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed, c.refusal
}

// add takes in a connection, unless all were closed while it was made.
func (c *connections) add(t *trackedConn, closed int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed != closed {
		return false
	}
	c.open[t] = struct{}{}
	return true
}

// closeAll closes the connections.
func (c *connections) closeAll() {
	c.mu.Lock()
	open := c.open
	c.open = make(map[*trackedConn]struct{})
	c.closed++
	c.mu.Unlock()
	for conn := range open {
		conn.Conn.Close()
	}
}

// trackedConn is one of connections.
type trackedConn struct {
	net.Conn
	of *connections
}

// Close implements net.Conn.
func (t *trackedConn) Close() error {
	t.of.mu.Lock()
	delete(t.of.open, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}

// trackedSocket is a trackedConn whose end the driver can see before it writes.
type trackedSocket struct {
	*trackedConn
	syscall.Conn
}

// server is what a connection leads to.
type server struct {
	// runID is new with each start.
	runID  string
	master bool
}

// watcher keeps all connections at the server that a new one reaches.
type watcher struct {
	conns   *connections
	now     server
	log     *slog.Logger
	changed prometheus.Counter
}

// newWatcher makes a watcher. info is the server's INFO now.
func newWatcher(conns *connections, info map[string]string, log *slog.Logger) *watcher {
	return &watcher{
		conns: conns, now: serverOf(info), log: log,
		changed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_redis_server_changes_total",
			Help: "Times that the address of Redis pointed to another server, or to one with another role.",
		}),
	}
}

func (w *watcher) export(reg prometheus.Registerer) { reg.MustRegister(w.changed) }

func serverOf(info map[string]string) server {
	return server{runID: info["run_id"], master: isMaster(info)}
}

// see takes the INFO of the server at the end of a new connection.
func (w *watcher) see(ctx context.Context, info map[string]string) {
	var refusal error
	if !isMaster(info) && info["master_link_status"] != "up" {
		refusal = errNoMaster
	}
	before := w.now
	w.now = serverOf(info)
	if w.now != before {
		w.changed.Inc()
		w.log.WarnContext(ctx, "redis is another server or has another role, reconnecting",
			"run_id", w.now.runID, "role", info["role"])
	}
	if refused := w.conns.refuse(refusal); refused || w.now != before {
		w.conns.closeAll()
	}
}

// refuse refuses new connections from now on, unless refusal is nil. It reports
// whether it did not before.
func (c *connections) refuse(refusal error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	begins := refusal != nil && c.refusal == nil
	c.refusal = refusal
	return begins
}
