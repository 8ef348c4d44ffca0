package limit

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/gotapi/gotapi-ws/internal/recent"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// maxGroups bounds the groups that a NewGroups remembers. One that it has forgotten is
// asked about again.
const maxGroups = 100_000

// maxClients bounds the clients that it remembers.
const maxClients = 100_000

// NewGroups bounds how many groups each client makes. A client claims a group that is
// not known to exist before it publishes there, and settles the claim when it knows
// whether that made the group: only then does it count. So what is under way cannot
// make more groups than the client may, and groups that exist cost nothing.
type NewGroups struct {
	perMinute int
	refused   prometheus.Counter
	seed      maphash.Seed

	mu      sync.Mutex
	clients recent.Map[string, *maker]
	// Groups that exist, or are claimed: their hashes.
	known recent.Map[uint64, struct{}]
}

// maker is a client: how many groups it may make, and how many of these it claims.
type maker struct {
	allowed *rate.Limiter
	claimed int
}

// newNewGroups returns nil for 0: there is no bound.
func newNewGroups(perMinute int, refused prometheus.Counter) *NewGroups {
	if perMinute == 0 {
		return nil
	}
	return &NewGroups{
		perMinute: perMinute, refused: refused, seed: maphash.MakeSeed(),
		clients: recent.New[string, *maker](maxClients), known: recent.New[uint64, struct{}](maxGroups),
	}
}

// Claim is the right of one publish to make a group.
type Claim struct {
	all   *NewGroups
	group uint64
	// Whose it is; nil: nobody's, as the key "" has no bound.
	by *maker
	// Whether the group was not known, and counts as claimed.
	held bool
}

// Claim lets the client of that key publish to a group. again is not 0 if it may
// do so only if the group exists: when it may make the next one. Otherwise Settle must
// follow.
func (n *NewGroups) Claim(key string, g group.Name) (c Claim, again time.Duration) {
	c = Claim{all: n, group: maphash.String(n.seed, string(g))}
	n.mu.Lock()
	defer n.mu.Unlock()
	if key != "" {
		c.by = n.maker(key)
	}
	if _, known := n.known.Get(c.group); known {
		return c, 0
	}
	if c.by != nil {
		if missing := float64(c.by.claimed+1) - c.by.allowed.Tokens(); missing > 0 {
			return c, time.Duration(math.Ceil(missing / float64(c.by.allowed.Limit()) * float64(time.Second)))
		}
		c.by.claimed++
	}
	c.held = true
	n.known.Add(c.group, struct{}{})
	return c, 0
}

// maker needs the lock.
func (n *NewGroups) maker(key string) *maker {
	m, ok := n.clients.Get(key)
	if !ok {
		m = &maker{allowed: rate.NewLimiter(rate.Limit(n.perMinute)/60, n.perMinute)}
		n.clients.Add(key, m)
	}
	return m
}

// Refuse counts a publish that was refused: the client may not make the group.
func (n *NewGroups) Refuse() { n.refused.Inc() }

// Made is the effect of a publish on its group.
type Made uint8

// The values of Made.
const (
	// Nothing: nothing was stored.
	Nothing Made = iota
	// Message: the group had some before.
	Message
	// Group: it has its first message.
	Group
	// Perhaps: unknown. It counts as a group of the client that claimed it.
	Perhaps
)

// Settle ends the Claim with the result of the publish.
func (c *Claim) Settle(made Made) {
	n := c.all
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.held && c.by != nil {
		c.by.claimed--
	}
	if c.by != nil && (made == Group || made == Perhaps && c.held) {
		// Into debt, if another one's claim was the reason to let it pass.
		c.by.allowed.ReserveN(time.Now(), 1)
	}
	switch _, known := n.known.Get(c.group); {
	case (made == Message || made == Group) && !known:
		n.known.Add(c.group, struct{}{})
	case (made == Nothing || made == Perhaps) && c.held:
		n.known.Remove(c.group)
	}
}

// clientsKnown returns how many clients are known; none to a nil *NewGroups.
func (n *NewGroups) clientsKnown() int {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clients.Len()
}
