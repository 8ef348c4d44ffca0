package limit

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/clientaddr"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/internal/ratelimit"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// Settings bound what one client may do on one edge. 0 is no limit. Rates are per
// second; what two seconds allow may come at once.
type Settings struct {
	// Of one WebSocket.
	ConnectionMessages, ConnectionBytes float64
	// Of one WebSocket of gotapi.v2. More wait.
	ConnectionJoins float64
	// Of one client address (of IPv6: of a network of 64 bits).
	AddressConnections               int
	AddressUpgrades, AddressRequests float64
	// Of one user, as known by a token or an API key.
	UserConnections int
	UserMessages    float64
	// Into one group, and the groups that have another rate; nil: none.
	GroupMessages float64
	Groups        *groupsettings.File
	// Groups that one user, or one client address without a user, makes by publishing;
	// per minute, and as many may be made at once.
	NewGroups int
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
	newGroups   kind = "new_groups"
)

// Limits enforce the Settings.
type Limits struct {
	settings           Settings
	proxies            clientaddr.Proxies
	upgrades, requests *ratelimit.Keyed
	users, inGroups    *ratelimit.Keyed
	newGroups          *NewGroups
	// Open connections.
	ofAddress *KeyedCounter
	ofUser    *userConnections
	refused   map[kind]prometheus.Counter
}

// New returns Limits for clients that may come through those proxies.
func New(s Settings, proxies clientaddr.Proxies, reg prometheus.Registerer) *Limits {
	l := &Limits{
		settings: s, proxies: proxies,
		upgrades: ratelimit.NewKeyed(), requests: ratelimit.NewKeyed(), users: ratelimit.NewKeyed(), inGroups: ratelimit.NewKeyed(),
		ofAddress: NewKeyedCounter(s.AddressConnections), ofUser: newUserConnections(s.UserConnections),
		refused: make(map[kind]prometheus.Counter),
	}
	in := metric.In(reg)
	refused := in.Counters("gotapi_edge_limited_total",
		"Requests, connections and messages refused by a limit of one client or group.", "limit")
	for _, k := range []kind{connections, upgrades, requests, messages, bytes, user, inGroup, newGroups} {
		l.refused[k] = refused.WithLabelValues(string(k))
	}
	l.newGroups = newNewGroups(s.NewGroups, l.refused[newGroups])
	in.GaugeFunc("gotapi_edge_limited_keys", "Addresses, users and groups whose rates are known.", func() float64 {
		return float64(l.upgrades.Len() + l.requests.Len() + l.users.Len() + l.inGroups.Len() + l.newGroups.clientsKnown())
	})
	return l
}

// Key returns whose part of a budget a request of that user uses: the user's, or, if it
// is unknown, the address's.
func (l *Limits) Key(r *http.Request, userName string) string {
	return quota.Key(userName, l.proxies.Key(r))
}

// NewGroups returns what bounds the groups that clients make; nil: nothing does.
func (l *Limits) NewGroups() *NewGroups { return l.newGroups }

// Request returns when a request may come again; 0: now. upgrade means that it asks
// for a WebSocket.
func (l *Limits) Request(r *http.Request, upgrade bool) (again time.Duration) {
	limiter, most, k := l.requests, l.settings.AddressRequests, requests
	if upgrade {
		limiter, most, k = l.upgrades, l.settings.AddressUpgrades, upgrades
	}
	if most == 0 {
		return 0
	}
	address := l.proxies.Key(r)
	if address == "" {
		return 0
	}
	return l.countRefusal(k, limiter.Take(address, most))
}

// Address returns the address of the client that sent r; "" if it has none.
func (l *Limits) Address(r *http.Request) string {
	if l == nil {
		return r.RemoteAddr
	}
	if a := l.proxies.Client(r); a.IsValid() {
		return a.String()
	}
	return ""
}

// Publish returns when a message of that user that came over HTTP may come again;
// 0: now.
func (l *Limits) Publish(g group.Name, userName string) (again time.Duration) {
	if again = l.byUser(userName); again > 0 {
		return again
	}
	return l.byGroup(g)
}

func (l *Limits) byUser(name string) time.Duration {
	if name == "" {
		return 0
	}
	return l.countRefusal(user, l.users.Take(name, l.settings.UserMessages))
}

func (l *Limits) byGroup(g group.Name) time.Duration {
	most := groupsettings.Or(l.settings.Groups.Of(g).LimitMessages, l.settings.GroupMessages)
	return l.countRefusal(inGroup, l.inGroups.Take(string(g), most))
}

// countRefusal returns again, and counts a refusal if it is not 0.
func (l *Limits) countRefusal(k kind, again time.Duration) time.Duration {
	if again > 0 {
		l.refused[k].Inc()
	}
	return again
}
