package limit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

func newLimits(s Settings) *Limits { return New(s, prometheus.NewRegistry()) }

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
		{"what stands before it is the client's invention", from("10.1.2.3:1", xff, "1.1.1.1, 198.51.100.1"), "198.51.100.1"},
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
	l := newLimits(Settings{})
	one, two := l.Address(from("[2001:db8:1:2:aaaa::1]:1")), l.Address(from("[2001:db8:1:2:bbbb::2]:2"))
	other := l.Address(from("[2001:db8:1:3::1]:1"))
	if one != two || one == other {
		t.Errorf("keys %q, %q, %q, want the first two to be the same, and the third another", one, two, other)
	}
}

func TestEachAddressHasItsOwnRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(Settings{AddressUpgrades: 1, AddressRequests: 10})
		a, b := from("203.0.113.1:1"), from("203.0.113.2:1")
		for i, want := range []time.Duration{0, 0, time.Second} {
			if got := l.Request(a, true); got != want {
				t.Errorf("upgrade %d: come again in %v, want %v", i, got, want)
			}
		}
		if l.Request(b, true) > 0 || l.Request(a, false) > 0 {
			t.Error("others' upgrades, or its own requests, are refused, too")
		}
		time.Sleep(time.Second)
		if l.Request(a, true) > 0 {
			t.Error("refused although the time is over")
		}
	})
}

func TestNoSettingIsNoLimit(t *testing.T) {
	l := newLimits(Settings{})
	r := from("203.0.113.1:1")
	for range 1000 {
		g := l.Enter(r, "alice")
		if l.Request(r, true)+l.Request(r, false)+l.Publish("/a", "alice") > 0 || g == nil || g.Message(1<<20)+g.Publish("/a") > 0 {
			t.Fatal("refused")
		}
	}
}

func TestConnectionsOfAddressesAndUsersAreCounted(t *testing.T) {
	l := newLimits(Settings{AddressConnections: 2, UserConnections: 3})
	here, there, elsewhere := from("203.0.113.1:1"), from("203.0.113.2:1"), from("203.0.113.3:1")
	first := l.Enter(here, "alice")
	if l.Enter(here, "alice") == nil || l.Enter(here, "bob") != nil {
		t.Error("of one address, want 2 and no more")
	}
	if l.Enter(there, "alice") == nil || l.Enter(elsewhere, "alice") != nil {
		t.Error("of one user, want 3 and no more")
	}
	first.Leave()
	if l.Enter(elsewhere, "alice") == nil || l.Enter(here, "") == nil {
		t.Error("no room although one has left")
	}
}

func TestMessagesAreLimitedByConnectionBytesUserAndGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := from("203.0.113.1:1")
		count := func(guests []*Guest, size int) (n int) {
			for range 100 {
				for _, g := range guests {
					if g.Message(size) == 0 && g.Publish("/a") == 0 {
						n++
					}
				}
			}
			return n
		}
		for _, tt := range []struct {
			name     string
			settings Settings
			users    []string
			want     int
		}{
			{"connection", Settings{ConnectionMessages: 5}, []string{"alice", "alice"}, 20},
			{"bytes", Settings{ConnectionBytes: 500}, []string{"alice"}, 10},
			{"user", Settings{UserMessages: 5}, []string{"alice", "alice", "bob"}, 20},
			{"nobody has no user's limit", Settings{UserMessages: 5}, []string{""}, 100},
			{"group", Settings{GroupMessages: 5}, []string{"alice", "bob", ""}, 10},
		} {
			l := newLimits(tt.settings)
			var guests []*Guest
			for _, u := range tt.users {
				guests = append(guests, l.Enter(r, u))
			}
			if got := count(guests, 100); got != tt.want {
				t.Errorf("%s: %d messages at once, want %d", tt.name, got, tt.want)
			}
			if g := l.Enter(r, "carol"); g.Message(1<<20)+g.Publish("/b") > 0 {
				t.Errorf("%s: a message that is larger than all at once, of others in another group, is refused", tt.name)
			}
		}
	})
}

func TestStrikesAreForgivenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLimits(Settings{}).Enter(from("203.0.113.1:1"), "")
		for i := range maxStrikes {
			if g.Strike() {
				t.Fatalf("out after %d", i+1)
			}
		}
		time.Sleep(strikesEvery)
		if g.Strike() {
			t.Error("none was forgiven")
		}
		if !g.Strike() {
			t.Error("not out")
		}
	})
}

func TestATableForgetsWhomItHasNotSeenForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(1)
		table.Take("first")
		table.Take("first")
		for i := range maxKeys - 1 {
			table.Take(fmt.Sprint(i))
		}
		if table.Take("first") == 0 {
			t.Error("forgotten although there was room")
		}
		table.Take("one more")
		if table.Len() != maxKeys {
			t.Errorf("%d keys, want %d", table.Len(), maxKeys)
		}
		if table.Take("first") == 0 {
			t.Error("who was just seen is forgotten")
		}
	})
}

// crowd calls ask from several goroutines at once, some 10,000 times each.
func crowd(ask func()) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10_000 {
				ask()
			}
		})
	}
	all.Wait()
}

func TestACrowdThatIsRefusedLeavesNoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(10)
		crowd(func() { table.Take("a") })
		time.Sleep(100 * time.Millisecond)
		if again := table.Take("a"); again > 0 {
			t.Errorf("at 10 a second, 0.1 s after a crowd: come again in %v, want now", again)
		}
	})
}
