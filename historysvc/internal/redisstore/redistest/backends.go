package redistest

import (
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Backend is a kind of server that the store must work with.
type Backend struct {
	Name string
	// URL is the address of a server that tests share, started when first needed.
	URL func(testing.TB) string
	// It is an imitation in this process.
	Embedded bool
}

// The backends. A test package that uses them has Main for its TestMain.
var (
	Miniredis = Backend{Name: "miniredis", Embedded: true, URL: func(tb testing.TB) string {
		tb.Helper()
		m := miniredis.NewMiniRedis()
		if err := m.Start(); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(m.Close)
		return "redis://" + m.Addr()
	}}
	Single = Backend{Name: "redis", URL: func(tb testing.TB) string {
		tb.Helper()
		return Shared(tb).SocketURL()
	}}
	Clustered = Backend{Name: "cluster", URL: func(tb testing.TB) string {
		tb.Helper()
		return SharedCluster(tb).URL()
	}}
)

// Backends are all kinds of servers.
var Backends = []Backend{Miniredis, Single, Clustered}

var (
	sharedServer  = sync.OnceValues(func() (*Server, error) { return started(New()) })
	sharedCluster = sync.OnceValues(func() (*Cluster, error) { return started(NewCluster()) })

	closersMu sync.Mutex
	closers   []func()
)

func started[T interface{ Close() }](v T, err error) (T, error) {
	if err == nil {
		closersMu.Lock()
		closers = append(closers, v.Close)
		closersMu.Unlock()
	}
	return v, err
}

// Shared returns the server that the tests of a package share.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	s, err := sharedServer()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// SharedCluster returns the cluster that the tests of a package share.
func SharedCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := sharedCluster()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Main runs the tests of a package and ends the servers that they share.
func Main(m *testing.M) {
	m.Run()
	for _, c := range closers {
		c()
	}
}
