package limit

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// from is a request over a connection from that address.
func from(remote string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/room/1", http.NoBody)
	r.RemoteAddr = remote
	return r
}

func newLimits(s Settings) *Limits { return New(s, nil, prometheus.NewRegistry()) }

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
		g := l.Connect(r, "alice")
		if l.Request(r, true)+l.Request(r, false)+l.Publish("/a", "alice") > 0 || g == nil || g.Message(1<<20)+g.Publish("/a") > 0 {
			t.Fatal("refused")
		}
	}
}

func TestConnectionsOfAddressesAreCounted(t *testing.T) {
	l := newLimits(Settings{AddressConnections: 2})
	here, there := from("203.0.113.1:1"), from("203.0.113.2:1")
	first := l.Connect(here, "alice")
	if l.Connect(here, "alice") == nil || l.Connect(here, "bob") != nil {
		t.Error("of one address, want 2 and no more")
	}
	if l.Connect(there, "alice") == nil {
		t.Error("another address has none left")
	}
	first.Release()
	if l.Connect(here, "") == nil {
		t.Error("no room although one has left")
	}
}

func TestTheOldestConnectionOfAUserGivesWay(t *testing.T) {
	l := newLimits(Settings{UserConnections: 2})
	var gone []string
	open := func(name, user string) *Connection {
		c := l.Connect(from("203.0.113.1:1"), user)
		c.Open(func() { gone = append(gone, name) })
		return c
	}
	want := func(what string, names ...string) {
		t.Helper()
		if !slices.Equal(gone, names) {
			t.Errorf("%s: %q gave way, want %q", what, gone, names)
		}
		gone = nil
	}
	first, second := open("first", "alice"), open("second", "alice")
	open("bob's", "bob")
	for range 5 {
		open("nobody's", "")
	}
	want("as many as may be")
	third := open("third", "alice")
	want("one more", "first")
	first.Release() // it takes its time
	second.Release()
	open("fourth", "alice")
	want("in the place of one that left")
	open("fifth", "alice")
	want("another one more", "third")
	third.Release()
	third.Release()
	l.Connect(from("203.0.113.1:1"), "alice").Release() // it was never opened
	open("sixth", "alice")
	want("when others have left twice", "fourth")
}

func TestMessagesAreLimitedByConnectionBytesUserAndGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := from("203.0.113.1:1")
		count := func(connections []*Connection, size int) (n int) {
			for range 100 {
				for _, g := range connections {
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
			var connections []*Connection
			for _, u := range tt.users {
				connections = append(connections, l.Connect(r, u))
			}
			if got := count(connections, 100); got != tt.want {
				t.Errorf("%s: %d messages at once, want %d", tt.name, got, tt.want)
			}
			if g := l.Connect(r, "carol"); g.Message(1<<20)+g.Publish("/b") > 0 {
				t.Errorf("%s: a message that is larger than all at once, of others in another group, is refused", tt.name)
			}
		}
	})
}

func TestRefusalsAreForgivenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLimits(Settings{}).Connect(from("203.0.113.1:1"), "")
		for i := range maxRefusals {
			if g.Refused() {
				t.Fatalf("out after %d", i+1)
			}
		}
		time.Sleep(forgiveEvery)
		if g.Refused() {
			t.Error("none was forgiven")
		}
		if !g.Refused() {
			t.Error("not out")
		}
	})
}
