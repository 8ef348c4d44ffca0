package edge

import (
	"flag"
	"fmt"
	"net"

	"github.com/gotapi/gotapi-ws/edge/internal/clientaddr"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
)

// Limits bound what one client, user or group may do on this edge.
type Limits struct {
	limit.Settings
	// TCP connections of one client address.
	AddressTCP int

	// Comma-separated networks whose hosts may name the client.
	TrustedProxies string
	// Whether they do so by the PROXY protocol.
	ProxyProtocol bool
}

func (l *Limits) registerFlags(fs *flag.FlagSet) {
	rate := func(p *float64, name, what string) {
		fs.Float64Var(p, name, 0, "maximum number of "+what+"; 0: no limit")
	}
	rate(&l.ConnectionMessages, "limit-connection-messages", "messages per second on one WebSocket")
	rate(&l.ConnectionBytes, "limit-connection-bytes", "`bytes` per second on one WebSocket")
	rate(&l.ConnectionJoins, "limit-connection-joins", "joins per second on one WebSocket of gotapi.v2 or event stream, and twice as many at once; others wait")
	fs.IntVar(&l.AddressConnections, "limit-address-connections", 0, "maximum number of WebSockets of one client address; 0: no limit")
	fs.IntVar(&l.AddressTCP, "limit-address-tcp", 0,
		"maximum number of TCP connections of one client address, whatever their protocol; trusted proxies are exempt;\n0: no limit")
	rate(&l.AddressUpgrades, "limit-address-upgrades", "WebSockets that one client address opens per second")
	rate(&l.AddressRequests, "limit-address-requests", "HTTP requests per second of one client address")
	fs.IntVar(&l.UserConnections, "limit-user-connections", 0, "maximum number of WebSockets of one user; 0: no limit")
	rate(&l.UserMessages, "limit-user-messages", "messages per second of one user")
	rate(&l.GroupMessages, "limit-group-messages", "messages per second to one group")
	fs.IntVar(&l.NewGroups, "limit-new-groups", 0,
		"maximum number of groups that one user, or one client address without a user, creates per minute\nby publishing; as many may come at once; 0: no limit")
	fs.StringVar(&l.TrustedProxies, "trusted-proxies", "",
		"comma-separated `networks` of proxies that may name the client in Forwarded, X-Forwarded-For or\nthe PROXY protocol, such as 10.0.0.0/8; empty: none")
	fs.BoolVar(&l.ProxyProtocol, "proxy-protocol", false,
		"take the client from the PROXY protocol header (version 1 or 2) with which connections of trusted proxies\nbegin, and ignore Forwarded and X-Forwarded-For")
}

// faults returns everything that is wrong.
func (l *Limits) faults() (all []string) {
	for name, n := range map[string]float64{
		"-limit-connection-messages": l.ConnectionMessages, "-limit-connection-bytes": l.ConnectionBytes,
		"-limit-connection-joins":    l.ConnectionJoins,
		"-limit-address-connections": float64(l.AddressConnections), "-limit-address-tcp": float64(l.AddressTCP),
		"-limit-address-upgrades": l.AddressUpgrades,
		"-limit-address-requests": l.AddressRequests, "-limit-user-connections": float64(l.UserConnections),
		"-limit-user-messages": l.UserMessages, "-limit-group-messages": l.GroupMessages,
		"-limit-new-groups": float64(l.NewGroups),
	} {
		if n < 0 {
			all = append(all, name+": negative")
		}
	}
	proxies, err := l.proxies()
	if err != nil {
		all = append(all, err.Error())
	}
	if l.ProxyProtocol && err == nil && len(proxies) == 0 {
		all = append(all, "-proxy-protocol needs -trusted-proxies")
	}
	return all
}

// proxies are those that may name the client for which they speak.
func (l *Limits) proxies() (clientaddr.Proxies, error) {
	proxies, err := clientaddr.ParseProxies(l.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("-trusted-proxies: %w", err)
	}
	return proxies, nil
}

// headerProxies are those that may name the client in headers: with the PROXY protocol
// none, as it names the client already, who may be in one of the networks.
func (l *Limits) headerProxies() (clientaddr.Proxies, error) {
	if l.ProxyProtocol {
		return nil, nil
	}
	return l.proxies()
}

// withProxyProtocol makes trusted proxies name the client by the PROXY protocol, if
// that is wanted.
func (l *Limits) withProxyProtocol(ln net.Listener) (net.Listener, error) {
	if !l.ProxyProtocol {
		return ln, nil
	}
	proxies, err := l.proxies()
	if err != nil {
		return ln, err
	}
	return proxies.WithProxyProtocol(ln), nil
}
