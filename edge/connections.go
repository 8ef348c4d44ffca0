package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/clientaddr"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/services/alarm"
)

// bounds bound the TCP connections that are open over all listeners: all of them
// together, so that file descriptors are left for operations, and those of one address.
// A new connection beyond the limit of its address is closed at once. Beyond the common limit,
// a connection that serves no request gives way.
type bounds struct {
	// 0: no limit.
	most int
	// Their connections are of many clients.
	proxies clientaddr.Proxies
	log     *slog.Logger
	refused *prometheus.CounterVec

	open      atomic.Int64
	ofAddress *limit.KeyedCounter
	waiting   *waiting
}

func newBounds(cfg *Config, log *slog.Logger, reg prometheus.Registerer) (*bounds, error) {
	proxies, err := cfg.Limits.proxies()
	if err != nil {
		return nil, err
	}
	refused := metric.In(reg).Counters("gotapi_edge_refused_tcp_connections_total",
		"TCP connections closed by a limit: on connections, unfinished headers, or reset requests.", "limit")
	refused.WithLabelValues(tooManyFiles)
	refused.WithLabelValues(tooManyOfAddress)
	refused.WithLabelValues(tooManyHeaders)
	refused.WithLabelValues(tooManyResets)
	return &bounds{
		most: maxTCPConnections(), proxies: proxies, log: log, refused: refused,
		ofAddress: limit.NewKeyedCounter(cfg.Limits.AddressTCP), waiting: newWaiting(quota.MemoryLimit()),
	}, nil
}

// boundedListener is a listener with bounds.
type boundedListener struct {
	net.Listener
	*bounds
	// TLS is spoken over its connections.
	secure bool
}

// Values of the label limit.
const (
	tooManyFiles     = "files"
	tooManyOfAddress = "address"
	tooManyHeaders   = "headers"
	tooManyResets    = "resets"
)

// Accept implements net.Listener.
func (l boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.log.Warn("cannot accept connections", "error", err)
			}
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok { // pipes of tests have no address and cost no file
			return conn, nil
		}
		proxy := l.isProxy(tcp)
		address := l.keyOf(tcp, proxy)
		why := l.add(address)
		if why == tooManyFiles && l.giveWay(l.waiting.longest(), why) {
			why = l.add(address)
		}
		if why == "" {
			return l.newConn(tcp, address, proxy), nil
		}
		l.refuse(tcp, why)
	}
}

// alarms says that hardly any connection is left.
func (b *bounds) alarms() []alarm.Alarm {
	return alarm.Files("connections that file descriptors allow", int(b.open.Load()), b.most)
}

func (l boundedListener) newConn(tcp *net.TCPConn, address string, proxy bool) *boundedConn {
	c := &boundedConn{TCPConn: tcp, bounds: l.bounds, address: address, proxy: proxy}
	if l.secure && !proxy {
		c.records = new(records)
	}
	return c
}

// giveWay closes a connection because something is too much, and reports whether there is
// one to close.
func (b *bounds) giveWay(c *boundedConn, why string) bool {
	if c == nil || c.left.Load() {
		return false
	}
	b.refused.WithLabelValues(why).Inc()
	b.log.Debug("tcp connection closed", "limit", why, "peer", c.RemoteAddr().String())
	_ = c.Close() // its reader notices
	return true
}

// beginHeader notes that the header of c comes in pieces.
func (b *bounds) beginHeader(c *boundedConn) { b.giveWay(b.waiting.begin(c), tooManyHeaders) }

func (b *bounds) refuse(conn *net.TCPConn, why string) {
	b.refused.WithLabelValues(why).Inc()
	level := slog.LevelDebug // any client can cause it
	if why == tooManyFiles {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "tcp connection refused: too many are open", "limit", why, "peer", conn.RemoteAddr().String())
	_ = conn.Close()
}

// isProxy reports whether the connection is a trusted proxy's.
func (b *bounds) isProxy(conn *net.TCPConn) bool {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && b.proxies.Trusts(tcp.AddrPort().Addr())
}

// keyOf returns "" for what has no bound, as proxies.
func (b *bounds) keyOf(conn *net.TCPConn, proxy bool) string {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || proxy || !b.ofAddress.IsBounded() {
		return ""
	}
	return clientaddr.KeyOf(tcp.AddrPort().Addr().Unmap())
}

// add counts a connection, or returns what is too much.
func (b *bounds) add(address string) string {
	n := b.open.Add(1)
	switch {
	case b.most > 0 && n > int64(b.most):
		b.open.Add(-1)
		return tooManyFiles
	case !b.ofAddress.Add(address):
		b.open.Add(-1)
		return tooManyOfAddress
	}
	return ""
}

func (b *bounds) remove(address string) {
	b.ofAddress.Remove(address)
	b.open.Add(-1)
}

// boundedConn counts itself out when it is closed.
type boundedConn struct {
	*net.TCPConn
	bounds  *bounds
	address string
	proxy   bool
	left    atomic.Bool
	headerProgress
	resets resets
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	err := c.TCPConn.Close()
	if !c.left.Swap(true) {
		c.bounds.remove(c.address)
	}
	return err
}
