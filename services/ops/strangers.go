package ops

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// withoutStrangers serves requests to one of hosts, or a local name, that no page of
// another origin has caused.
func withoutStrangers(h http.Handler, hosts []string) http.Handler {
	if own, err := os.Hostname(); err == nil {
		hosts = append(slices.Clone(hosts), own)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLocal(hostOf(r.Host)) && !slices.ContainsFunc(hosts, func(name string) bool { return strings.EqualFold(name, hostOf(r.Host)) }):
			http.Error(w, fmt.Sprintf("%q is not a name of this port: see -ops-hosts", hostOf(r.Host)), http.StatusMisdirectedRequest)
		case isForeign(r):
			http.Error(w, "pages of other origins have no access", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// hostOf returns the host of a header Host, without a port and in lower case.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.Trim(header, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// localNames end names that nobody can register, beside those without a dot.
var localNames = []string{".localhost", ".local", ".internal"}

// isLocal reports whether a host is an address, or a name that no stranger can have.
func isLocal(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc(localNames, func(end string) bool { return strings.HasSuffix(host, end) })
}

// isForeign reports whether a browser sent r for a page of another origin.
func isForeign(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return true
	}
	origin := r.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	return origin != "" && !strings.EqualFold(host, r.Host)
}
