package clientaddr

import (
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTimeout is how long a proxy may take to send the PROXY header.
const headerTimeout = 5 * time.Second

// WithProxyProtocol returns a listener that reads the PROXY protocol, version 1 or 2,
// on connections from p. The header is optional, as health checks of proxies may have
// none. Connections from elsewhere are left as they are: a header there is for HTTP to
// refuse.
func (p Proxies) WithProxyProtocol(ln net.Listener) net.Listener {
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: headerTimeout,
		ConnPolicy: func(conn proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, err := netip.ParseAddrPort(conn.Upstream.String())
			if err == nil && p.Trusts(from.Addr()) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}
