package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// The stores that can be chosen.
const (
	single   = "single"
	cluster  = "cluster"
	sentinel = "sentinel"
)

// database is Redis: one server, a Cluster, or servers watched by Sentinels.
type database struct {
	kind      string
	url       string
	nodes     []*node
	sentinels []*testbed.Process
	client    redis.UniversalClient

	mu sync.Mutex
	// Nodes that are being promoted with the consent of their master, until when.
	graceful map[*node]time.Time
}

// node is one Redis server and the proxy before it.
type node struct {
	*testbed.Process
	link *faultproxy.Proxy
	// The proxy before the Cluster's bus; nil without one.
	bus *faultproxy.Proxy
	// From where it dials the other nodes.
	source string
	// Past the proxy, for looking and for commands of the operator.
	direct *redis.Client

	mu   sync.Mutex
	down bool
}

func startDatabase(tb testbed.TB, kind string, args ...string) *database {
	d := &database{kind: kind, graceful: make(map[*node]time.Time)}
	links := make(map[string]*faultproxy.Proxy)
	fronts := func(addr string) string {
		links[addr] = front(tb, addr)
		return links[addr].Addr
	}
	var r *testbed.Redis
	// A kill loses nothing that was written to the file, fsynced or not: that is
	// for power cuts. "always" is what a single server needs to promise anything.
	replicated := append([]string{"--appendonly", "yes", "--appendfsync", "everysec"}, args...)
	switch kind {
	case cluster:
		r = testbed.StartReplicatedCluster(tb, fronts, replicated...)
	case sentinel:
		r, d.sentinels = testbed.StartSentinelRedis(tb, fronts, replicated...)
	default:
		r = testbed.StartRedis(tb, args...)
		r.URL = "redis://" + fronts(r.Nodes[0].Addr) + "/0"
	}
	d.url, d.client = r.URL, r.Client
	for i, p := range r.Nodes {
		n := &node{Process: p, link: links[p.Addr], bus: links[testbed.BusAddr(p.Addr)], source: testbed.Source(i), direct: redis.NewClient(&redis.Options{
			Addr: p.Addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second, ContextTimeoutEnabled: true,
		})}
		tb.Cleanup(func() { _ = n.direct.Close() })
		d.nodes = append(d.nodes, n)
	}
	return d
}

func (n *node) fell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	n.Kill()
}

func (n *node) raise() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		n.down = false
		n.Launch()
	}
}

// appendOnlyFile returns the file that the node appends to, and its size.
func (n *node) appendOnlyFile(ctx context.Context) (path string, size int64, err error) {
	settings, err := n.direct.ConfigGet(ctx, "*dir*").Result()
	if err != nil {
		return "", 0, err
	}
	files, err := filepath.Glob(filepath.Join(settings["dir"], settings["appenddirname"], "*.incr.aof"))
	if err != nil {
		return "", 0, err
	}
	if len(files) != 1 { // a rewrite is under way
		return "", 0, fmt.Errorf("%s has %d files that it appends to", n.Name(), len(files))
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return "", 0, err
	}
	return files[0], info.Size(), nil
}

// isolate lets nothing pass between n and the other nodes, and the Sentinels. Its
// clients still reach it.
func (d *database) isolate(n *node) {
	others := make([]string, 0, len(d.nodes)+len(d.sentinels))
	for i := range len(d.nodes) + len(d.sentinels) {
		if s := testbed.Source(i); s != n.source {
			others = append(others, s)
		}
	}
	for _, o := range d.nodes {
		if o == n {
			o.hold(others...)
		} else {
			o.hold(n.source)
		}
	}
}

// hold holds what comes to n from these addresses.
func (n *node) hold(sources ...string) {
	n.link.HoldFrom(sources...)
	if n.bus != nil {
		n.bus.HoldFrom(sources...)
	}
}

// roomy removes the limit of n's memory. A restarted node has none.
func (n *node) roomy(ctx context.Context) {
	_ = n.direct.ConfigSet(ctx, "maxmemory", "0").Err() // it may be down
}

// rejoin ends what was done to the links of n.
func (n *node) rejoin() {
	n.link.Heal()
	if n.bus != nil {
		n.bus.Heal()
	}
}

// heal undoes what faults did.
func (d *database) heal() {
	for _, n := range d.nodes {
		n.rejoin()
		n.Resume()
		n.raise()
		n.roomy(context.Background())
	}
	for _, s := range d.sentinels {
		s.Resume()
	}
}

// role is what a node says of itself.
type role struct {
	master bool
	// Of a replica: it is connected to its master. Of a master: how many
	// replicas are connected.
	linked   bool
	replicas int
}

func (n *node) role(ctx context.Context) (role, error) {
	info, err := n.direct.Info(ctx, "replication").Result()
	if err != nil {
		return role{}, err
	}
	var r role
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "role":
			r.master = value == "master"
		case "master_link_status":
			r.linked = value == "up"
		case "connected_slaves":
			r.replicas, _ = strconv.Atoi(value)
		}
	}
	return r, nil
}

// those returns the nodes that are, or are not, masters.
func (d *database) those(ctx context.Context, masters bool) []*node {
	var found []*node
	for _, n := range d.nodes {
		if r, err := n.role(ctx); err == nil && r.master == masters {
			found = append(found, n)
		}
	}
	return found
}

// healthy reports whether every node answers, and every master has replicas.
func (d *database) healthy(ctx context.Context) error {
	masters := 0
	for _, n := range d.nodes {
		r, err := n.role(ctx)
		switch {
		case err != nil:
			return err
		case r.master:
			masters++
			if d.kind != single && r.replicas == 0 {
				return fmt.Errorf("%s has no replica", n.Addr)
			}
		case !r.linked:
			return fmt.Errorf("%s is not connected to its master", n.Addr)
		}
		if d.kind == cluster {
			info, err := n.direct.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") {
				return fmt.Errorf("%s: the cluster is not whole: %w", n.Addr, errors.Join(err))
			}
		}
	}
	if want := map[string]int{single: 1, cluster: 3, sentinel: 1}[d.kind]; masters != want {
		return fmt.Errorf("%d masters, want %d", masters, want)
	}
	return nil
}

// owns returns which of the groups a master keeps.
func (d *database) owns(ctx context.Context, n *node, slots map[string]int) (map[string]bool, error) {
	all := make(map[string]bool)
	ranges := [][2]int{{0, 16383}}
	if d.kind == cluster {
		text, err := n.direct.ClusterNodes(ctx).Result()
		if err != nil {
			return nil, err
		}
		ranges = slotsOf(text)
	}
	for group, slot := range slots {
		if slices.ContainsFunc(ranges, func(r [2]int) bool { return r[0] <= slot && slot <= r[1] }) {
			all[group] = true
		}
	}
	return all, nil
}

// slotsOf reads the slots of the node that was asked from CLUSTER NODES.
func slotsOf(nodes string) [][2]int {
	var ranges [][2]int
	lines := bufio.NewScanner(strings.NewReader(nodes))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") {
			continue
		}
		for _, f := range fields[8:] {
			from, to, isRange := strings.Cut(f, "-")
			a, err := strconv.Atoi(from)
			if err != nil {
				continue // a slot on its way elsewhere
			}
			b := a
			if isRange {
				b, _ = strconv.Atoi(to)
			}
			ranges = append(ranges, [2]int{a, b})
		}
	}
	return ranges
}

// expect announces that a node will be promoted in good order.
func (d *database) expect(n *node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.graceful[n] = time.Now().Add(10 * time.Second)
}

func (d *database) expected(n *node) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.graceful[n])
}

const watchEvery = 200 * time.Millisecond

// watch calls promoted for every node that becomes a master otherwise than in
// good order, until ctx ends: then Redis may have lost something.
func (d *database) watch(ctx context.Context, promoted func(n *node)) {
	was := make(map[*node]bool)
	for _, n := range d.those(ctx, true) {
		was[n] = true
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range d.nodes {
			r, err := n.role(ctx)
			if err != nil {
				continue
			}
			if r.master && !was[n] && !d.expected(n) {
				promoted(n)
			}
			was[n] = r.master
		}
	}
}
