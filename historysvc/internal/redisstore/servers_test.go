package redisstore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// The servers that tests share, each started when first needed.
var (
	realServer    = sync.OnceValues(func() (*redistest.Server, error) { return started(redistest.New()) })
	clusterServer = sync.OnceValues(func() (*redistest.Cluster, error) { return started(redistest.NewCluster()) })

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

func TestMain(m *testing.M) {
	code := m.Run()
	for _, c := range closers {
		c()
	}
	os.Exit(code)
}

// backend is a kind of server that the store must work with.
type backend struct {
	name     string
	url      func(testing.TB) string
	embedded bool
}

var (
	imitation = backend{name: "miniredis", embedded: true, url: func(tb testing.TB) string {
		tb.Helper()
		m := miniredis.NewMiniRedis()
		if err := m.Start(); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(m.Close)
		return "redis://" + m.Addr()
	}}
	single = backend{name: "redis", url: func(tb testing.TB) string {
		tb.Helper()
		s, err := realServer()
		if err != nil {
			tb.Fatal(err)
		}
		return s.SocketURL()
	}}
	clustered = backend{name: "cluster", url: func(tb testing.TB) string {
		tb.Helper()
		c, err := clusterServer()
		if err != nil {
			tb.Fatal(err)
		}
		return c.URL()
	}}
)

// backends are all kinds of servers.
var backends = []backend{imitation, single, clustered}

// start opens a store and runs it until cancel is called.
func start(tb testing.TB, o Options, l history.Listener) (*Store, context.CancelFunc, *sync.WaitGroup) {
	tb.Helper()
	s, err := Open(context.Background(), o, quiet(tb), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx, l) })
	return s, cancel, &running
}

// open opens a store and runs it until the test ends. l may be nil.
func open(tb testing.TB, o Options, l history.Listener) *Store {
	tb.Helper()
	s, cancel, running := start(tb, o, l)
	tb.Cleanup(func() {
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func quiet(tb testing.TB) *slog.Logger {
	tb.Helper()
	if testing.Verbose() {
		if _, ok := tb.(*testing.T); ok {
			return slog.New(slog.NewTextHandler(tb.Output(), nil))
		}
	}
	return slog.New(slog.DiscardHandler)
}

// on opens a store on b.
func on(tb testing.TB, b backend, o Options, l history.Listener) *Store {
	tb.Helper()
	o.URL, o.Embedded = b.url(tb), b.embedded
	return open(tb, o, l)
}

// room is a group name that no other test uses.
func room(tb testing.TB) group.Name {
	tb.Helper()
	return group.Name(fmt.Sprintf("/%s/%d", strings.ReplaceAll(tb.Name(), " ", "_"), time.Now().UnixNano()))
}

func dataPacket(uuid string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":"hello"}}`, uuid)
}

// submit submits one message and waits for its receipt.
func submit(tb testing.TB, s *Store, g group.Name, uuid, text string) history.Receipt {
	tb.Helper()
	return wait(tb, submitAsync(s, g, uuid, text))
}

func submitAsync(s *Store, g group.Name, uuid, text string) <-chan history.Receipt {
	answer := make(chan history.Receipt, 1)
	s.Submit(&history.Publication{
		Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(text),
		Deadline: time.Now().Add(5 * time.Second),
		Done:     func(r history.Receipt) { answer <- r },
	})
	return answer
}

func wait[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		tb.Fatal("waited for 20 s")
		panic("not reached")
	}
}

// must stores messages with the uuids, one by one.
func must(tb testing.TB, s *Store, g group.Name, uuids ...string) {
	tb.Helper()
	for _, u := range uuids {
		if r := submit(tb, s, g, u, dataPacket(u)); r.Err != nil || r.Duplicate {
			tb.Fatalf("store %q: %+v", u, r)
		}
	}
}
