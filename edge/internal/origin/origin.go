// Package origin decides which origins' pages may act for their visitors.
package origin

import (
	"net/http"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// defaultPorts are the ports that origins and hosts need not name, by scheme.
var defaultPorts = map[string]string{"http": ":80", "https": ":443"}

// IsOwn reports whether a page of that origin came from the host that r asks for. On a
// connection with TLS that was over https; otherwise a proxy may have ended TLS, and
// either scheme will do.
func IsOwn(origin string, r *http.Request) bool {
	scheme, from, _ := strings.Cut(origin, "://")
	port, ok := defaultPorts[scheme]
	if !ok || r.TLS != nil && scheme != "https" {
		return false
	}
	return strings.EqualFold(strings.TrimSuffix(from, port), strings.TrimSuffix(r.Host, port))
}

// NamesOwner reports whether a pattern with at most one "*" matches hosts of one owner
// only. In a host, the "*" must be below a domain that somebody has registered:
// "https://*.example.com" is, while "https://*", "https://*.com" and
// "https://*example.com" match pages of strangers.
func NamesOwner(pattern string) bool {
	_, host, ok := strings.Cut(pattern, "://")
	if !ok {
		return false
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	_, rest, some := strings.Cut(host, "*")
	if !some {
		return true
	}
	_, domain, _ := strings.Cut(rest, ".")
	_, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain))
	return err == nil
}
