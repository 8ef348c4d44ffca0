package testbed

import (
	"fmt"
	"strings"
)

// AdminSecret is the secret of every system that the testbed starts.
const AdminSecret = "testbed-secret"

// Store is where a system keeps its messages.
type Store int

// The stores.
const (
	// Embedded: inside gotapi-ws; Edges and Services do not matter.
	Embedded Store = iota
	// Single: one Redis server.
	Single
	// Cluster: a Redis Cluster of three masters.
	Cluster
)

// Config lists the parts of a system.
type Config struct {
	Store Store
	// How many of each; 0 means 1.
	Edges, Services int
	// More flags.
	EdgeArgs, ServiceArgs, RedisArgs []string
}

// System is a running gotapi-ws.
type System struct {
	Edges    []*Process
	Services []*Process
	// Redis is nil when the store is embedded.
	Redis *Redis
}

// Start starts a system and waits until all of it is ready.
func Start(tb TB, cfg Config) *System {
	tb.Helper()
	if cfg.Store == Embedded {
		p := StartAllInOne(tb, append(cfg.EdgeArgs, cfg.ServiceArgs...)...)
		return &System{Edges: []*Process{p}, Services: []*Process{p}}
	}
	s := &System{}
	if cfg.Store == Cluster {
		s.Redis = StartRedisCluster(tb, cfg.RedisArgs...)
	} else {
		s.Redis = StartRedis(tb, cfg.RedisArgs...)
	}
	for range max(cfg.Services, 1) {
		s.Services = append(s.Services, StartService(tb, s.Redis, cfg.ServiceArgs...))
	}
	for range max(cfg.Edges, 1) {
		s.Edges = append(s.Edges, StartEdge(tb, s.Services, cfg.EdgeArgs...))
	}
	return s
}

// StartAllInOne starts gotapi-ws; args may name a Redis.
func StartAllInOne(tb TB, args ...string) *Process {
	tb.Helper()
	http, grpc := FreeAddr(tb), FreeAddr(tb)
	p := StartProcess(tb, "gotapi-ws-"+port(http), Binary(tb, "gotapi-ws"), both(serving(http), healthy(grpc)),
		append([]string{"-listen", http, "-grpc-listen", grpc, "-admin-secret", AdminSecret}, args...)...)
	p.Addr, p.GRPC = http, grpc
	return p
}

// StartService starts a history service on a Redis.
func StartService(tb TB, r *Redis, args ...string) *Process {
	tb.Helper()
	return StartServiceAt(tb, r.URL, args...)
}

// StartServiceAt starts a history service that finds its Redis at that URL.
func StartServiceAt(tb TB, redisURL string, args ...string) *Process {
	tb.Helper()
	addr := FreeAddr(tb)
	p := StartProcess(tb, "historysvc-"+port(addr), Binary(tb, "historysvc"), healthy(addr),
		append([]string{"-listen", addr, "-redis", redisURL}, args...)...)
	p.Addr, p.GRPC = addr, addr
	return p
}

// StartEdge starts an edge that knows these history services; edges that are
// started one after another begin with different ones.
func StartEdge(tb TB, services []*Process, args ...string) *Process {
	tb.Helper()
	history := make([]string, 0, len(services))
	for _, s := range services {
		history = append(history, s.GRPC)
	}
	return StartEdgeAt(tb, history, args...)
}

// StartEdgeAt starts an edge that finds its history services at these addresses.
func StartEdgeAt(tb TB, history []string, args ...string) *Process {
	tb.Helper()
	addr := FreeAddr(tb)
	p := StartProcess(tb, "edge-"+port(addr), Binary(tb, "edge"), serving(addr),
		append([]string{"-listen", addr, "-history", strings.Join(history, ","), "-admin-secret", AdminSecret}, args...)...)
	p.Addr = addr
	return p
}

// Addrs returns the HTTP addresses of the edges.
func (s *System) Addrs() []string {
	addrs := make([]string, 0, len(s.Edges))
	for _, e := range s.Edges {
		addrs = append(addrs, e.Addr)
	}
	return addrs
}

func (s *System) String() string {
	return fmt.Sprintf("%d edges, %d history services", len(s.Edges), len(s.Services))
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
