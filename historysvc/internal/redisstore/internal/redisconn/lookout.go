package redisconn

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// lookEvery is how often Conn.Run asks the masters.
const lookEvery = 2 * time.Second

// The modes of a server: values of the label mode.
const (
	modeSingle   = "single"
	modeSentinel = "sentinel"
	modeCluster  = "cluster"
)

// unknownCount is an unknown number of replicas.
const unknownCount = -1

// master is what a master reports about itself. Outside a Cluster it may be a replica, if
// the URL points to one.
type master struct {
	addr string
	// INFO.
	info map[string]string
	// Replicas that it, its Sentinels or its Cluster know, also those that are down.
	replicas int
	// CONFIG GET appendfsync, if acks need it; "": unknown.
	appendfsync string
	// Its answer to WAITAOF, if acks need that.
	waitaof error
}

// isMaster reports whether a server with this INFO is one.
func isMaster(info map[string]string) bool { return info["role"] == "master" }

// Product is the name and version of a server, for people: nothing depends on it.
type Product struct{ Name, Version string }

// ProductOf finds the product in INFO. The redis_version of other products is that of a
// Redis with which they are compatible.
func ProductOf(info map[string]string) Product {
	name := cmp.Or(info["server_name"], "redis")
	return Product{name, cmp.Or(info[name+"_version"], info["redis_version"], "unknown")}
}

// lookout asks the masters what they are, and tells operators.
type lookout struct {
	mode string
	// nil without one.
	cluster *redis.ClusterClient
	// Makes a new connection for each command; nil in a Cluster.
	probe redis.UniversalClient
	// They know the replicas; nil without them.
	sentinels []*redis.SentinelClient
	// What Sentinels call the master.
	name string
	// Acks need the disk.
	fsync bool
	log   *slog.Logger

	// What was seen last.
	products map[Product]bool
	warnings []string

	info              *prometheus.GaugeVec
	replicas, awaited prometheus.Gauge
}

func newLookout(client redis.UniversalClient, o *Options, settings dialSettings, log *slog.Logger) (*lookout, error) {
	l := &lookout{
		mode: modeSingle, fsync: o.Acks.Fsync, log: log,
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gotapi_history_redis_info", Help: "1 for each product and version of a Redis master; mode is single, sentinel or cluster.",
		}, []string{"product", "version", "mode"}),
		replicas: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_history_redis_replicas", Help: "Replicas of a Redis master, including those that are down; the maximum over all masters.",
		}),
		awaited: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_history_ack_replicas", Help: "Replicas that an ack waits for (-ack-replicas); the minimum over all masters.",
		}),
	}
	if c, ok := client.(*redis.ClusterClient); ok {
		l.mode, l.cluster = modeCluster, c
		return l, nil
	}
	settings.conns, settings.fresh = nil, true
	var err error
	if l.probe, _, err = dial(o.URL, settings); err != nil {
		return nil, err
	}
	if l.sentinels, l.name, err = dialSentinels(o.URL, settings); err != nil {
		return nil, err
	}
	switch {
	case l.sentinels != nil:
		l.mode = modeSentinel
	case o.Acks.Replicas == AllReplicas:
		_ = l.probe.Close() // it has nothing open
		return nil, errors.New("-ack-replicas all requires Sentinel or Cluster: the number of replicas of a single server is unknown; set a number instead")
	}
	return l, nil
}

func (l *lookout) export(reg prometheus.Registerer) { reg.MustRegister(l.info, l.replicas, l.awaited) }

func (l *lookout) close() {
	if l.probe != nil {
		_ = l.probe.Close() // it has nothing open
	}
	for _, s := range l.sentinels {
		_ = s.Close() // nothing is lost with it
	}
}

// ask asks all masters. Those of a Cluster that do not answer are left out, unless none
// does.
func (l *lookout) ask(ctx context.Context) ([]master, error) {
	if l.cluster == nil {
		m, err := l.askOne(ctx, l.probe, "")
		if err == nil && l.sentinels != nil {
			m.replicas = l.askSentinels(ctx)
		}
		return []master{m}, err
	}
	var mu sync.Mutex
	var all []master
	var failure error
	err := l.cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		m, err := l.askOne(ctx, node, node.Options().Addr)
		if nodes, refused := node.ClusterNodes(ctx).Result(); refused == nil {
			m.replicas = replicasIn(nodes)
		} else {
			m.replicas = unknownCount
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failure = err
			return nil // the others are asked all the same
		}
		all = append(all, m)
		return nil
	})
	if err != nil || len(all) == 0 {
		return nil, FirstError(err, failure)
	}
	return all, nil
}

// askOne asks one server.
func (l *lookout) askOne(ctx context.Context, node redis.UniversalClient, addr string) (master, error) {
	text, err := node.Info(ctx).Result()
	if err != nil {
		return master{}, err
	}
	m := master{addr: addr, info: ParseInfo(text)}
	m.replicas, _ = strconv.Atoi(m.info["connected_slaves"])
	if l.fsync {
		m.waitaof = node.Do(ctx, "waitaof", 1, 0, 1).Err()                           // nothing was written: it does not wait
		if setting, err := node.ConfigGet(ctx, "appendfsync").Result(); err == nil { // it may be forbidden
			m.appendfsync = setting["appendfsync"]
		}
	}
	return m, nil
}

// askSentinels returns how many replicas the Sentinels know: the most of any.
func (l *lookout) askSentinels(ctx context.Context) int {
	counts := make([]int, len(l.sentinels))
	var asked sync.WaitGroup
	for i, s := range l.sentinels {
		asked.Go(func() {
			replicas, err := s.Replicas(ctx, l.name).Result()
			if counts[i] = len(replicas); err != nil { // another one may know
				counts[i] = unknownCount
			}
		})
	}
	asked.Wait()
	return slices.Max(counts)
}

// replicasIn counts the replicas of the node that answered CLUSTER NODES, also those that
// are down.
func replicasIn(nodes string) int {
	self, n := "", 0
	for line := range strings.Lines(nodes) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.Contains(fields[2], "myself") {
			self = fields[0]
		}
	}
	for line := range strings.Lines(nodes) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] == self {
			n++
		}
	}
	return n
}

// see tells operators what the servers are, when that has changed, and acks how many
// replicas there are.
func (l *lookout) see(ctx context.Context, servers []master, acks *confirmation) {
	l.seeProducts(ctx, servers)
	masters := slices.DeleteFunc(slices.Clone(servers), func(m master) bool { return !isMaster(m.info) })
	if len(masters) == 0 {
		return
	}
	acks.learn(masters)
	l.awaited.Set(float64(acks.fewest(masters)))
	if most := mostReplicas(masters); most != unknownCount {
		l.replicas.Set(float64(most))
	}
	warnings := acks.warnings(masters)
	for _, m := range masters {
		if policy := m.info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
			warnings = append(warnings, "redis may evict histories: set maxmemory-policy to noeviction, not "+policy)
		}
	}
	slices.Sort(warnings)
	for _, w := range slices.Compact(warnings) {
		if !slices.Contains(l.warnings, w) {
			l.log.WarnContext(ctx, "redis is misconfigured for this service", "reason", w)
		}
	}
	l.warnings = warnings
}

// seeProducts tells operators what the servers run, when that has changed.
func (l *lookout) seeProducts(ctx context.Context, servers []master) {
	products := make(map[Product]bool)
	for _, m := range servers {
		products[ProductOf(m.info)] = true
	}
	if maps.Equal(products, l.products) {
		return
	}
	l.products = products
	l.info.Reset()
	for p := range products {
		l.info.WithLabelValues(p.Name, p.Version, l.mode).Set(1)
		l.log.InfoContext(ctx, "redis is in use", "product", p.Name, "version", p.Version, "mode", l.mode, "replicas", mostReplicas(servers))
	}
}

func mostReplicas(servers []master) int {
	most := unknownCount
	for _, m := range servers {
		most = max(most, m.replicas)
	}
	return most
}
