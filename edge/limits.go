package edge

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
)

// Limits are what one client, user or group may have on this edge. 0 is no limit.
// Rates are per second.
type Limits struct {
	// Of one WebSocket.
	ConnectionMessages, ConnectionBytes float64
	// Of one client address.
	AddressConnections               int
	AddressUpgrades, AddressRequests float64
	// Of one user: the subject of a token, or the name of an API key.
	UserConnections int
	UserMessages    float64
	// Into one group.
	GroupMessages float64

	// Networks whose hosts may say for whom they speak, with commas between them.
	TrustedProxies string
	// They say so by the PROXY protocol.
	ProxyProtocol bool
}

func (l *Limits) registerFlags(fs *flag.FlagSet) {
	rate := func(p *float64, name, what string) {
		fs.Float64Var(p, name, 0, "most "+what+"; 0: no limit")
	}
	rate(&l.ConnectionMessages, "limit-connection-messages", "messages a second over one WebSocket")
	rate(&l.ConnectionBytes, "limit-connection-bytes", "`bytes` a second over one WebSocket")
	fs.IntVar(&l.AddressConnections, "limit-address-connections", 0, "most WebSockets of one client address; 0: no limit")
	rate(&l.AddressUpgrades, "limit-address-upgrades", "WebSockets that one client address may open in a second")
	rate(&l.AddressRequests, "limit-address-requests", "HTTP requests a second of one client address")
	fs.IntVar(&l.UserConnections, "limit-user-connections", 0, "most WebSockets of one user; 0: no limit")
	rate(&l.UserMessages, "limit-user-messages", "messages a second of one user")
	rate(&l.GroupMessages, "limit-group-messages", "messages a second into one group")
	fs.StringVar(&l.TrustedProxies, "trusted-proxies", "",
		"`networks` whose hosts may name the client, in Forwarded, X-Forwarded-For or by the PROXY\nprotocol, with commas between them, as 10.0.0.0/8; none: nobody")
	fs.BoolVar(&l.ProxyProtocol, "proxy-protocol", false,
		"connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2")
}

// faults returns all that is wrong.
func (l *Limits) faults() (all []string) {
	for name, n := range map[string]float64{
		"-limit-connection-messages": l.ConnectionMessages, "-limit-connection-bytes": l.ConnectionBytes,
		"-limit-address-connections": float64(l.AddressConnections), "-limit-address-upgrades": l.AddressUpgrades,
		"-limit-address-requests": l.AddressRequests, "-limit-user-connections": float64(l.UserConnections),
		"-limit-user-messages": l.UserMessages, "-limit-group-messages": l.GroupMessages,
	} {
		if n < 0 {
			all = append(all, name+": negative")
		}
	}
	proxies, err := limit.ParseProxies(l.TrustedProxies)
	if err != nil {
		all = append(all, fmt.Sprintf("-trusted-proxies: %v", err))
	}
	if l.ProxyProtocol && err == nil && len(proxies) == 0 {
		all = append(all, "-proxy-protocol needs -trusted-proxies")
	}
	return all
}

func (l *Limits) settings() (limit.Settings, error) {
	proxies, err := limit.ParseProxies(l.TrustedProxies)
	if err != nil {
		return limit.Settings{}, fmt.Errorf("-trusted-proxies: %w", err)
	}
	return limit.Settings{
		ConnectionMessages: l.ConnectionMessages, ConnectionBytes: l.ConnectionBytes,
		AddressConnections: l.AddressConnections, AddressUpgrades: l.AddressUpgrades, AddressRequests: l.AddressRequests,
		UserConnections: l.UserConnections, UserMessages: l.UserMessages,
		GroupMessages: l.GroupMessages,
		Proxies:       proxies,
	}, nil
}

// proxyHeaderTimeout is how long a proxy may take to name the client.
const proxyHeaderTimeout = 5 * time.Second

// behindProxies makes ln understand the PROXY protocol, if that is wanted: of
// trusted proxies a header is read if there is one (their health checks may have
// none); what others send is for HTTP to refuse.
func (l *Limits) behindProxies(ln net.Listener) (net.Listener, error) {
	if !l.ProxyProtocol {
		return ln, nil
	}
	proxies, err := limit.ParseProxies(l.TrustedProxies)
	if err != nil {
		return ln, fmt.Errorf("-trusted-proxies: %w", err)
	}
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: proxyHeaderTimeout,
		ConnPolicy: func(conn proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, err := netip.ParseAddrPort(conn.Upstream.String())
			if err == nil && proxies.Trusts(from.Addr()) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}, nil
}
