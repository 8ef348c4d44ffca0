package clientaddr

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// from is a request over a connection from that address; headers are names and
// values in turn.
func from(remote string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/room/1", http.NoBody)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

const (
	xff = "X-Forwarded-For"
	fwd = "Forwarded"
)

func TestOnlyTrustedProxiesSayForWhomTheySpeak(t *testing.T) {
	proxies, err := ParseProxies("10.0.0.0/8, 192.0.2.7,fd00::/8")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"no proxy", from("203.0.113.9:1"), "203.0.113.9"},
		{"a stranger's claim", from("203.0.113.9:1", xff, "1.2.3.4"), "203.0.113.9"},
		{"a stranger's claim, RFC 7239", from("203.0.113.9:1", fwd, "for=1.2.3.4"), "203.0.113.9"},
		{"a proxy's word", from("10.1.2.3:1", xff, "198.51.100.1"), "198.51.100.1"},
		{"mapped addresses", from("[::ffff:10.1.2.3]:1", xff, "::ffff:198.51.100.1"), "198.51.100.1"},
		{"a client's invention before it", from("10.1.2.3:1", xff, "1.1.1.1, 198.51.100.1"), "198.51.100.1"},
		{"two proxies", from("10.1.2.3:1", xff, "198.51.100.1, 192.0.2.7"), "198.51.100.1"},
		{"two lines", from("10.1.2.3:1", xff, "1.1.1.1", xff, "198.51.100.1"), "198.51.100.1"},
		{"with a port", from("10.1.2.3:1", xff, "198.51.100.1:4711"), "198.51.100.1"},
		{"all trusted", from("10.1.2.3:1", xff, "10.9.9.9"), "10.9.9.9"},
		{"nothing said", from("10.1.2.3:1"), "10.1.2.3"},
		{"nonsense", from("10.1.2.3:1", xff, "198.51.100.1, unknown"), "10.1.2.3"},
		{"RFC 7239", from("10.1.2.3:1", fwd, `for=192.0.2.43;proto=http, FOR="[2001:db8:cafe::17]:4711";by=x`), "2001:db8:cafe::17"},
		{"both headers", from("10.1.2.3:1", xff, "198.51.100.1", fwd, "for=1.1.1.1, for=198.51.100.1"), "198.51.100.1"},
		{"a proxy's word beside what the client made up", from("10.1.2.3:1", xff, "198.51.100.1", fwd, "for=1.1.1.1"), "10.1.2.3"},
		{"the same, RFC 7239", from("10.1.2.3:1", xff, "1.1.1.1", fwd, "for=198.51.100.1"), "10.1.2.3"},
		{"a client that would like to be hidden", from("10.1.2.3:1", xff, "198.51.100.1", fwd, "for=unknown"), "10.1.2.3"},
		{"hidden", from("10.1.2.3:1", fwd, "for=_secret"), "10.1.2.3"},
		{"IPv6 proxy", from("[fd00::1]:1", xff, "2001:db8::5"), "2001:db8::5"},
	} {
		if got := proxies.Client(tt.r).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if a := proxies.Client(from("pipe")); a.IsValid() {
		t.Errorf("a connection without an address: got %v", a)
	}
	for _, bad := range []string{"10.0.0.0/33", "host", "10.0.0.0/8;::1"} {
		if _, err := ParseProxies(bad); err == nil {
			t.Errorf("%q is taken for networks", bad)
		}
	}
}

func TestAnIPv6CustomerIsANetwork(t *testing.T) {
	var none Proxies
	one, two := none.Key(from("[2001:db8:1:2:aaaa::1]:1")), none.Key(from("[2001:db8:1:2:bbbb::2]:2"))
	other := none.Key(from("[2001:db8:1:3::1]:1"))
	if one != two || one == other {
		t.Errorf("keys %q, %q, %q, want the first two to be the same, and the third another", one, two, other)
	}
	if k := none.Key(from("pipe")); k != "" {
		t.Errorf("a connection without an address: got key %q, want none", k)
	}
}
