package limit

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Settings say how much one client may do on one edge. 0 is no limit. Rates are
// per second; what two seconds allow may come at once.
type Settings struct {
	// Of one WebSocket.
	ConnectionMessages, ConnectionBytes float64
	// Of one client address (of IPv6: of a network of 64 bits).
	AddressConnections               int
	AddressUpgrades, AddressRequests float64
	// Of one user, as known by a token or an API key.
	UserConnections int
	UserMessages    float64
	// Into one group.
	GroupMessages float64
	// Who may say for whom they speak.
	Proxies Proxies
}

// kind is what was too much: a value of the label limit.
type kind string

const (
	connections kind = "connections"
	upgrades    kind = "upgrades"
	requests    kind = "requests"
	messages    kind = "messages"
	bytes       kind = "bytes"
	user        kind = "user"
	inGroup     kind = "group"
)

// Limits hold everybody to the Settings.
type Limits struct {
	settings           Settings
	upgrades, requests *Table
	users, groups      *Table
	addresses, people  *Counts
	refused            map[kind]prometheus.Counter
}

// New returns Limits.
func New(s Settings, reg prometheus.Registerer) *Limits {
	l := &Limits{
		settings: s,
		upgrades: NewTable(s.AddressUpgrades), requests: NewTable(s.AddressRequests),
		users: NewTable(s.UserMessages), groups: NewTable(s.GroupMessages),
		addresses: NewCounts(s.AddressConnections), people: NewCounts(s.UserConnections),
		refused: make(map[kind]prometheus.Counter),
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_edge_limited_total",
		Help: "Requests, connections and messages that were refused because of a limit for one client or group.",
	}, []string{"limit"})
	for _, k := range []kind{connections, upgrades, requests, messages, bytes, user, inGroup} {
		l.refused[k] = refused.WithLabelValues(string(k))
	}
	reg.MustRegister(refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_edge_limited_keys",
		Help: "Addresses, users and groups whose rates are known.",
	}, func() float64 {
		return float64(l.upgrades.Len() + l.requests.Len() + l.users.Len() + l.groups.Len())
	}))
	return l
}

// note counts a refusal.
func (l *Limits) note(k kind, again time.Duration) time.Duration {
	if again > 0 {
		l.refused[k].Inc()
	}
	return again
}

// Address is whose the request is, as a key; "" if that is not to be known.
func (l *Limits) Address(r *http.Request) string {
	if a := l.settings.Proxies.Client(r); a.IsValid() {
		return key(a)
	}
	return ""
}

// Request says when a request, which is for a WebSocket or not, may come again;
// 0: now.
func (l *Limits) Request(r *http.Request, upgrade bool) (again time.Duration) {
	table, k := l.requests, requests
	if upgrade {
		table, k = l.upgrades, upgrades
	}
	if table == nil {
		return 0
	}
	address := l.Address(r)
	if address == "" {
		return 0
	}
	return l.note(k, table.Take(address))
}

// Publish says when a message that came over HTTP may come again; 0: now.
func (l *Limits) Publish(g group.Name, name string) (again time.Duration) {
	if again = l.byUser(name); again > 0 {
		return again
	}
	return l.byGroup(g)
}

func (l *Limits) byUser(name string) time.Duration {
	if name == "" {
		return 0
	}
	return l.note(user, l.users.Take(name))
}

func (l *Limits) byGroup(g group.Name) time.Duration {
	return l.note(inGroup, l.groups.Take(string(g)))
}

// Guest is a connection that was let in.
type Guest struct {
	limits          *Limits
	address, name   string
	messages, bytes *rate.Limiter
	// What is refused; who goes on is thrown out.
	strikes *rate.Limiter
}

const (
	// maxStrikes is how many messages may be refused in a row, and strikesEvery
	// when one of them is forgiven.
	maxStrikes   = 50
	strikesEvery = time.Second
)

// Enter lets a connection of that user in; nil if there are too many. Leave must
// follow.
func (l *Limits) Enter(r *http.Request, name string) *Guest {
	g := &Guest{limits: l, name: name}
	if l.settings.AddressConnections > 0 {
		g.address = l.Address(r)
	}
	if !l.addresses.Enter(g.address) {
		l.refused[connections].Inc()
		return nil
	}
	if !l.people.Enter(name) {
		l.addresses.Leave(g.address)
		l.refused[connections].Inc()
		return nil
	}
	g.messages = limiter(l.settings.ConnectionMessages)
	g.bytes = limiter(l.settings.ConnectionBytes)
	return g
}

func limiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
}

// Leave says that the connection is over.
func (g *Guest) Leave() {
	g.limits.addresses.Leave(g.address)
	g.limits.people.Leave(g.name)
}

// Message says when a message of that size, whatever it asks for, may come again;
// 0: now. It belongs to the connection's reader.
func (g *Guest) Message(size int) (again time.Duration) {
	l := g.limits
	if again = l.note(messages, take(g.messages, 1)); again > 0 {
		return again
	}
	if again = l.note(bytes, take(g.bytes, size)); again > 0 {
		return again
	}
	return l.byUser(g.name)
}

// Publish says when a message that is to be published, and may be, may come again;
// 0: now. Pings, queries, and what is refused for another reason take nothing of
// what a group may have: else who may not publish there could keep others from it.
func (g *Guest) Publish(to group.Name) (again time.Duration) { return g.limits.byGroup(to) }

// Strike notes a refusal. It returns true when it was one too many.
func (g *Guest) Strike() (out bool) {
	if g.strikes == nil {
		g.strikes = rate.NewLimiter(rate.Every(strikesEvery), maxStrikes)
	}
	return !g.strikes.Allow()
}
