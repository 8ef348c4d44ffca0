package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

const (
	edgeCount    = 3
	serviceCount = 2
	// How long an edge spreads the end of its members when it is asked to end.
	drain = "1s"
	// Messages that a group keeps: all, so that whatever is missing was lost.
	historyCap = "1000000"
)

// bed is the system under test: edges, history services, and a Redis, with a
// fault proxy on every link between them and before every edge.
//
//	members -> doors[edge] -> edges -> relays[edge][service] -> services -> redisLinks -> Redis
//
// Where both are in one program, gotapi-ws, that is an edge here, and there are
// neither services nor relays.
type bed struct {
	redis    *database
	services []*unit
	edges    []*unit

	doors  []*faultproxy.Proxy
	relays [][]*faultproxy.Proxy

	supervisors sync.WaitGroup
}

// startBed starts everything and waits until it is ready. ctx ends what keeps
// the programs running.
func startBed(ctx context.Context, tb testbed.TB, cfg config) *bed {
	redisArgs := cfg.redisArgs
	if cfg.acks != (acks{}) {
		// A master that is back before it is replaced must not have forgotten what
		// its replica has: "everysec" writes late while a disk is busy.
		redisArgs = append([]string{"--appendfsync", "always"}, redisArgs...)
	}
	b := &bed{redis: startDatabase(tb, cfg.store, redisArgs...)}
	service := append([]string{"-history-cap", historyCap}, cfg.acks.args()...)
	if cfg.together {
		b.startTogether(tb, service)
	} else {
		b.startApart(tb, service)
	}
	for _, u := range b.units() {
		b.supervisors.Go(func() { u.supervise(ctx) })
	}
	return b
}

// startTogether starts both services in one program, several times.
func (b *bed) startTogether(tb testbed.TB, service []string) {
	for range edgeCount {
		p := testbed.StartAllInOne(tb, append([]string{"-redis", b.redis.url, "-drain", drain}, service...)...)
		b.addEdge(tb, p)
	}
}

func (b *bed) startApart(tb testbed.TB, service []string) {
	for range serviceCount {
		ops := testbed.FreeAddr(tb)
		p := testbed.StartServiceAt(tb, b.redis.url, append([]string{"-drain", "2s", "-ops-listen", ops}, service...)...)
		b.services = append(b.services, &unit{Process: p, ops: ops})
	}
	for range edgeCount {
		var targets []string
		var relays []*faultproxy.Proxy
		for _, s := range b.services {
			p := front(tb, s.GRPC)
			relays = append(relays, p)
			targets = append(targets, p.Addr)
		}
		b.relays = append(b.relays, relays)
		b.addEdge(tb, testbed.StartEdgeAt(tb, targets, "-drain", drain))
	}
}

func (b *bed) addEdge(tb testbed.TB, p *testbed.Process) {
	b.edges = append(b.edges, &unit{Process: p})
	b.doors = append(b.doors, front(tb, p.Addr))
}

// front puts a proxy before an address.
func front(tb testbed.TB, upstream string) *faultproxy.Proxy {
	p, err := faultproxy.Listen(testbed.FreeAddr(tb), upstream)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(p.Close)
	return p
}

func (b *bed) units() []*unit { return append(append([]*unit(nil), b.services...), b.edges...) }

// addrs are where members find the edges.
func (b *bed) addrs() []string {
	addrs := make([]string, 0, len(b.doors))
	for _, d := range b.doors {
		addrs = append(addrs, d.Addr)
	}
	return addrs
}

// serviceAddrs are where internal services find the history services.
func (b *bed) serviceAddrs() []string {
	var addrs []string
	for _, u := range b.units() {
		if u.GRPC != "" {
			addrs = append(addrs, u.GRPC)
		}
	}
	return addrs
}

// heal undoes everything that faults did to links and processes.
func (b *bed) heal() {
	for _, d := range b.doors {
		d.Heal()
	}
	for _, relays := range b.relays {
		for _, r := range relays {
			r.Heal()
		}
	}
	b.redis.heal()
	for _, u := range b.units() {
		u.Resume()
		u.raise()
	}
}

// crashes returns the programs that ended without having been asked to, with the reason
// that its log gives.
func (b *bed) crashes() []string {
	var all []string
	for _, u := range b.units() {
		for line := range strings.Lines(u.Log()) {
			if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
				all = append(all, fmt.Sprintf("%s: %s", u.Name(), strings.TrimSpace(line)))
			}
		}
	}
	return all
}

// unit is a program that is started again when it ends, as an operator's
// supervisor would: a history service ends by itself when it finds no Redis for
// 30 s (-redis-wait) after its start.
type unit struct {
	*testbed.Process
	// Where it serves metrics; "": nowhere.
	ops string

	mu sync.Mutex
	// It is to stay down.
	down bool
	// How often it was started again without having been asked to end.
	restarts int
}

const superviseEvery = 100 * time.Millisecond

func (u *unit) supervise(ctx context.Context) {
	tick := time.NewTicker(superviseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			u.look()
		}
	}
}

func (u *unit) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	select {
	case <-u.Done():
		if !u.down {
			u.restarts++
			u.Launch()
		}
	default:
	}
}

// fell kills the program; it stays down until raise.
func (u *unit) fell() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = true
	u.Kill()
}

// bow asks the program to end; it stays down until raise.
func (u *unit) bow() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = true
	u.Terminate()
}

// raise starts the program again, once it has ended.
func (u *unit) raise() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down {
		u.down = false
		u.restarts-- // look does it
	}
}
