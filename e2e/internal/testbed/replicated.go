package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// MasterName is what Sentinels call the master.
const MasterName = "testbed"

// busOffset is how far above its port a Cluster node speaks to the others.
const busOffset = 10000

// Front puts something in front of a server, and returns where the server is to
// be reached from then on.
type Front func(addr string) string

// Source is the address from which node i of a replicated Redis, and then
// Sentinel i counted on from the nodes, dials others: so a Front can tell them
// from clients and from each other.
func Source(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i) }

// NodeTimeout is after how long (milliseconds) the nodes of a replicated Redis
// take another one for dead.
const NodeTimeout = 2500

// StartReplicatedCluster starts a Cluster of three masters with one replica
// each. Clients and replicas reach the nodes where front says, and so do the nodes
// each other's bus, whose address is BusAddr of the node's.
func StartReplicatedCluster(tb TB, front Front, args ...string) *Redis {
	tb.Helper()
	const masters, slots = 3, 16384
	ctx := context.Background()
	r := &Redis{}
	var fronts []string
	for i := range 2 * masters {
		addr := clusterAddr(tb)
		fronts = append(fronts, front(addr))
		r.Nodes = append(r.Nodes, startRedisAt(tb, addr, append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", strconv.Itoa(NodeTimeout),
			"--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", port(fronts[len(fronts)-1]),
			"--cluster-announce-bus-port", port(front(BusAddr(addr))), "--cluster-require-full-coverage", "no",
			"--repl-diskless-sync-delay", "0", "--bind-source-addr", Source(i), "--protected-mode", "no", // which knows 127.0.0.1 only
		}, args...)...))
	}
	first := r.Nodes[0].Addr
	for i, p := range r.Nodes[:masters] {
		joinCluster(tb, p.Addr, first, i*slots/masters, (i+1)*slots/masters-1)
	}
	for i, p := range r.Nodes[masters:] {
		followMaster(ctx, tb, p.Addr, r.Nodes[i].Addr, first)
	}
	r.URL = "redis+cluster://" + strings.Join(fronts, ",")
	r.Client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: fronts})
	tb.Cleanup(func() { _ = r.Client.Close() })
	for _, p := range r.Nodes {
		Eventually(tb, "cluster node "+p.Addr, func(ctx context.Context) error { return clusterReady(ctx, p.Addr, masters) })
	}
	for _, p := range r.Nodes[masters:] {
		Eventually(tb, "replica "+p.Addr, func(ctx context.Context) error { return replicating(ctx, p.Addr) })
	}
	return r
}

// clusterAddr returns an address whose bus port, too, is below those that Linux
// gives to outgoing connections.
func clusterAddr(tb TB) string {
	tb.Helper()
	for {
		addr := FreeAddr(tb)
		if n, _ := strconv.Atoi(port(addr)); n+busOffset < 30000 {
			return addr
		}
	}
}

// BusAddr is where the Cluster node at addr listens to the other nodes.
func BusAddr(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+busOffset))
}

// followMaster makes a node a replica.
func followMaster(ctx context.Context, tb TB, addr, master, first string) {
	tb.Helper()
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer node.Close()
	host, port, _ := net.SplitHostPort(first)
	if err := node.ClusterMeet(ctx, host, port).Err(); err != nil {
		tb.Fatalf("%s meets %s: %v", addr, first, err)
	}
	leader := redis.NewClient(&redis.Options{Addr: master})
	defer leader.Close()
	id, err := leader.ClusterMyID(ctx).Result()
	if err != nil {
		tb.Fatalf("id of %s: %v", master, err)
	}
	Eventually(tb, addr+" replicates "+master, func(ctx context.Context) error { return node.ClusterReplicate(ctx, id).Err() })
}

// replicating reports whether a replica has a link to its master.
func replicating(ctx context.Context, addr string) error {
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer node.Close()
	info, err := node.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "master_link_status:up") {
		return errors.New("its link to the master is down")
	}
	return nil
}

// StartSentinelRedis starts a master, two replicas and three Sentinels that
// watch over them. front maps the address of each Redis server to the one that all use.
func StartSentinelRedis(tb TB, front Front, args ...string) (r *Redis, sentinels []*Process) {
	tb.Helper()
	const replicas, watchers = 2, 3
	r = &Redis{}
	var fronts []string
	for i := range 1 + replicas {
		addr := FreeAddr(tb)
		at := front(addr)
		fronts = append(fronts, at)
		// Sentinels change the roles, which the servers write into their files.
		file := write(tb, "redis.conf", "")
		r.Nodes = append(r.Nodes, startRedisAt(tb, addr, append([]string{
			file, "--replica-announce-ip", "127.0.0.1", "--replica-announce-port", port(at), "--repl-diskless-sync-delay", "0",
			"--bind-source-addr", Source(i), "--protected-mode", "no", // which knows 127.0.0.1 only
		}, args...)...))
	}
	host, masterPort, _ := net.SplitHostPort(fronts[0])
	for _, p := range r.Nodes[1:] {
		replicate(tb, p.Addr, host, masterPort)
	}
	var addrs []string
	for i := range watchers {
		p := startSentinel(tb, host, masterPort, Source(len(r.Nodes)+i))
		sentinels = append(sentinels, p)
		addrs = append(addrs, p.Addr)
	}
	r.URL = "redis+sentinel://" + strings.Join(addrs, ",") + "/0?master_name=" + MasterName
	r.Client = redis.NewFailoverClient(&redis.FailoverOptions{MasterName: MasterName, SentinelAddrs: addrs})
	tb.Cleanup(func() { _ = r.Client.Close() })
	for _, p := range r.Nodes[1:] {
		Eventually(tb, "replica "+p.Addr, func(ctx context.Context) error { return replicating(ctx, p.Addr) })
	}
	for _, addr := range addrs {
		Eventually(tb, "sentinel "+addr, func(ctx context.Context) error { return knowsAll(ctx, addr, replicas, watchers-1) })
	}
	return r, sentinels
}

func replicate(tb TB, addr, host, port string) {
	tb.Helper()
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer node.Close()
	err := node.ReplicaOf(context.Background(), host, port).Err()
	if err == nil {
		err = node.ConfigRewrite(context.Background()).Err()
	}
	if err != nil {
		tb.Fatalf("%s replicates: %v", addr, err)
	}
}

func startSentinel(tb TB, masterHost, masterPort, source string) *Process {
	tb.Helper()
	addr := FreeAddr(tb)
	host, port, _ := net.SplitHostPort(addr)
	file := write(tb, "sentinel.conf", fmt.Sprintf("bind %s\nport %s\ndir %s\nbind-source-addr %[8]s\nprotected-mode no\nsentinel announce-ip %[1]s\n"+
		"sentinel monitor %[4]s %[5]s %[6]s 2\nsentinel down-after-milliseconds %[4]s %[7]d\n"+
		"sentinel failover-timeout %[4]s 6000\nsentinel parallel-syncs %[4]s 2\n",
		host, port, tb.TempDir(), MasterName, masterHost, masterPort, NodeTimeout, source))
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatalf("these tests need redis-server in PATH: %v", err)
	}
	ready := func(ctx context.Context) error {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
		defer func() { _ = c.Close() }()
		return c.Ping(ctx).Err()
	}
	p := StartProcess(tb, "sentinel-"+port, path, ready, file, "--sentinel")
	p.Addr = addr
	return p
}

// knowsAll reports whether a Sentinel can fail over: it knows replicas and others.
func knowsAll(ctx context.Context, addr string, replicas, others int) error {
	c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	m, err := c.Master(ctx, MasterName).Result()
	if err != nil {
		return err
	}
	if m["num-slaves"] != strconv.Itoa(replicas) || m["num-other-sentinels"] != strconv.Itoa(others) {
		return fmt.Errorf("it knows %s replicas and %s other sentinels", m["num-slaves"], m["num-other-sentinels"])
	}
	return nil
}

func write(tb TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatalf("%v", err)
	}
	return path
}
