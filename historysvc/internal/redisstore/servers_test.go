package redisstore

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestMain(m *testing.M) { redistest.Main(m) }

var (
	backends  = redistest.Backends
	imitation = redistest.Miniredis
	single    = redistest.Single
	clustered = redistest.Clustered
)

// registries are those of the stores under test.
var registries sync.Map

// metric returns the sum of a metric's values: of counters, gauges, and how often a
// histogram was observed. With labels it is that of the series with one of them.
func metric(tb testing.TB, s *Store, name string, labels ...string) float64 {
	tb.Helper()
	reg, _ := registries.Load(s)
	families, err := reg.(*prometheus.Registry).Gather()
	if err != nil {
		tb.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matches := len(labels) == 0
			for _, l := range m.GetLabel() {
				matches = matches || l.GetValue() == labels[0]
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// start opens a store and runs it until cancel is called.
func start(tb testing.TB, o Options, l history.Listener) (*Store, context.CancelFunc, *sync.WaitGroup) {
	tb.Helper()
	reg := prometheus.NewRegistry()
	s, err := Open(context.Background(), o, quiet(tb), reg)
	if err != nil {
		tb.Fatal(err)
	}
	registries.Store(s, reg)
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
func on(tb testing.TB, b redistest.Backend, o Options, l history.Listener) *Store {
	tb.Helper()
	o.Connection.URL, o.Connection.Embedded = b.URL(tb), b.Embedded
	return open(tb, o, l)
}

func room(tb testing.TB) group.Name {
	tb.Helper()
	return historytest.Room(tb)
}

func dataPacket(uuid string) string { return historytest.Text(uuid) }

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
		From:     historytest.Receipts(answer),
	})
	return answer
}

func wait[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	return historytest.Wait(tb, ch)
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
