package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose hosts may name the client for which they speak.
type Proxies []netip.Prefix

// ParseProxies parses comma-separated networks or addresses, such as
// "10.0.0.0/8, ::1".
func ParseProxies(list string) (Proxies, error) {
	var all Proxies
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if a, err := netip.ParseAddr(item); err == nil {
			a = a.Unmap()
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(item)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8, nor an address", item)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// Trusts reports whether a may name the client for which it speaks.
func (p Proxies) Trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

// Client returns the address of the client that sent r: that of the connection, or,
// if that is a proxy's, the last one in the header Forwarded or X-Forwarded-For that
// is no proxy's. The client may have made up what comes before it. If the two headers
// disagree, it may have made up one of them, since a proxy writes the one it knows and
// hands on the other; then Client returns the connection's address. It returns the
// zero Addr if the connection has none.
func (p Proxies) Client(r *http.Request) netip.Addr {
	conn, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	proxy := conn.Addr().Unmap()
	if !p.Trusts(proxy) {
		return proxy
	}
	usual, standard := r.Header["X-Forwarded-For"], r.Header["Forwarded"]
	byUsual, byStandard := p.last(proxy, usual, strings.TrimSpace), p.last(proxy, standard, forParameter)
	switch {
	case len(standard) == 0:
		return byUsual
	case len(usual) == 0, byUsual == byStandard:
		return byStandard
	default:
		return proxy
	}
}

// last returns the last address in a header, given by its lines, that is no proxy's.
// If all are proxies', it returns the first of them; if there is none, proxy. hop reads
// one comma-separated element.
func (p Proxies) last(proxy netip.Addr, lines []string, hop func(element string) string) netip.Addr {
	client := proxy
	for _, element := range slices.Backward(strings.Split(strings.Join(lines, ","), ",")) {
		a, ok := parseHop(hop(element))
		if !ok {
			break // a proxy that hides who it is
		}
		client = a
		if !p.Trusts(a) {
			break
		}
	}
	return client
}

// forParameter returns the parameter "for" of an element of Forwarded (RFC 7239).
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if ok && strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseHop parses an address, with a port or without.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err == nil
}

// Key returns a key for the client that sent r, as KeyOf does; "" if the connection has
// no address.
func (p Proxies) Key(r *http.Request) string {
	if a := p.Client(r); a.IsValid() {
		return KeyOf(a)
	}
	return ""
}

// KeyOf returns a key for the client with that address: the address, or of an IPv6
// address the network of 64 bits, of which a customer has at least one.
func KeyOf(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
