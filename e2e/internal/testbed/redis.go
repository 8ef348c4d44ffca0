package testbed

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Redis is one Redis server, or the masters of a Redis Cluster.
type Redis struct {
	// URL is what the flag -redis takes.
	URL string
	// Nodes are the processes, one or three.
	Nodes []*Process
	// Client is for looking and for preparing data.
	Client redis.UniversalClient
}

// StartRedis starts one server that writes every change to its disk before it
// answers, so that a crash loses nothing.
func StartRedis(tb TB, args ...string) *Redis {
	tb.Helper()
	p := startRedis(tb, append([]string{"--appendonly", "yes", "--appendfsync", "always"}, args...)...)
	client := redis.NewClient(&redis.Options{Addr: p.Addr})
	tb.Cleanup(func() { _ = client.Close() })
	return &Redis{URL: "redis://" + p.Addr + "/0", Nodes: []*Process{p}, Client: client}
}

// StartRedisCluster starts three masters that share the slots.
func StartRedisCluster(tb TB, args ...string) *Redis {
	tb.Helper()
	const masters, slots = 3, 16384
	r := &Redis{}
	addrs := make([]string, 0, masters)
	for range masters {
		p := startRedisAt(tb, clusterAddr(tb), append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
			"--appendonly", "yes", "--appendfsync", "always",
		}, args...)...)
		r.Nodes = append(r.Nodes, p)
		addrs = append(addrs, p.Addr)
	}
	for i, p := range r.Nodes {
		joinCluster(tb, p.Addr, addrs[0], i*slots/masters, (i+1)*slots/masters-1)
	}
	r.URL = "redis+cluster://" + strings.Join(addrs, ",")
	r.Client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	tb.Cleanup(func() { _ = r.Client.Close() })
	for _, addr := range addrs {
		Eventually(tb, "cluster node "+addr, func(ctx context.Context) error { return clusterReady(ctx, addr, masters) })
	}
	return r
}

func joinCluster(tb TB, addr, first string, from, to int) {
	tb.Helper()
	ctx := context.Background()
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = node.Close() }()
	if err := node.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
		tb.Fatalf("slots of %s: %v", addr, err)
	}
	host, port, _ := net.SplitHostPort(first)
	if err := node.ClusterMeet(ctx, host, port).Err(); err != nil {
		tb.Fatalf("%s meets %s: %v", addr, first, err)
	}
}

func clusterReady(ctx context.Context, addr string, masters int) error {
	node := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = node.Close() }()
	info, err := node.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_size:%d", masters)) {
		return fmt.Errorf("state: %q", info)
	}
	return nil
}

func startRedis(tb TB, args ...string) *Process {
	tb.Helper()
	return startRedisAt(tb, FreeAddr(tb), args...)
}

// startRedisAt starts a server on an address; a first argument that does not
// begin with - is the configuration file.
func startRedisAt(tb TB, addr string, args ...string) *Process {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatalf("these tests need redis-server in PATH: %v", err)
	}
	host, port, _ := net.SplitHostPort(addr)
	ready := func(ctx context.Context) error {
		c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
		defer func() { _ = c.Close() }()
		return c.Ping(ctx).Err()
	}
	var file []string
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		file, args = args[:1], args[1:]
	}
	p := StartProcess(tb, "redis-"+port, path, ready,
		slices.Concat(file, []string{"--bind", host, "--port", port, "--dir", tb.TempDir(), "--save", ""}, args)...)
	p.Addr = addr
	return p
}
