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
	"github.com/gotapi/gotapi-ws/services/alarm"
)

// bounds bound the TCP connections that are open over all listeners: all of them
// together, so that file descriptors are left for operations, and those of one address.
// Connections that are too many are closed at once.
type bounds struct {
	// 0: no limit.
	most int
	// Their connections are of many clients.
	proxies clientaddr.Proxies
	log     *slog.Logger
	refused *prometheus.CounterVec

	open      atomic.Int64
	ofAddress *limit.KeyedCounter
}

func newBounds(cfg *Config, log *slog.Logger, reg prometheus.Registerer) (*bounds, error) {
	proxies, err := cfg.Limits.proxies()
	if err != nil {
		return nil, err
	}
	refused := metric.In(reg).Counters("gotapi_edge_refused_tcp_connections_total",
		"TCP connections that were closed at once because there were too many, by what was too much.", "limit")
	refused.WithLabelValues(tooManyFiles)
	refused.WithLabelValues(tooManyOfAddress)
	return &bounds{
		most: maxTCPConnections(), proxies: proxies, log: log, refused: refused,
		ofAddress: limit.NewKeyedCounter(cfg.Limits.AddressTCP),
	}, nil
}

// boundedListener is a listener with bounds.
type boundedListener struct {
	net.Listener
	*bounds
}

// Values of the label limit.
const (
	tooManyFiles     = "files"
	tooManyOfAddress = "address"
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
		address := l.keyOf(tcp)
		why := l.add(address)
		if why == "" {
			return &boundedConn{TCPConn: tcp, bounds: l.bounds, address: address}, nil
		}
		l.refuse(tcp, why)
	}
}

// alarms says that hardly any connection is left.
func (b *bounds) alarms() []alarm.Alarm {
	return alarm.Files("connections that file descriptors allow", int(b.open.Load()), b.most)
}

func (b *bounds) refuse(conn *net.TCPConn, why string) {
	b.refused.WithLabelValues(why).Inc()
	level := slog.LevelDebug // any client can cause it
	if why == tooManyFiles {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "tcp connection refused: too many are open", "limit", why, "peer", conn.RemoteAddr().String())
	_ = conn.Close()
}

// keyOf returns "" for what has no bound, as proxies.
func (b *bounds) keyOf(conn *net.TCPConn) string {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !b.ofAddress.IsBounded() {
		return ""
	}
	from := tcp.AddrPort().Addr()
	if b.proxies.Trusts(from) {
		return ""
	}
	return clientaddr.KeyOf(from.Unmap())
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
	left    atomic.Bool
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	err := c.TCPConn.Close()
	if !c.left.Swap(true) {
		c.bounds.remove(c.address)
	}
	return err
}
