package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/session"
)

// publisher keeps publications until the test answers them.
type publisher struct {
	mu    sync.Mutex
	held  []*relay.Publication
	total int
}

func (p *publisher) Publish(batch ...*relay.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, batch...)
	p.total += len(batch)
}

func (p *publisher) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

func (p *publisher) answer(n int) {
	p.mu.Lock()
	answered := p.held[:n]
	p.held = p.held[n:]
	p.mu.Unlock()
	for _, pub := range answered {
		pub.End(relay.Result{Outcome: relay.Accepted})
	}
}

// serveWith runs a test against an edge that publishes through p. Nobody runs
// the relay but dial and the test.
func (e *edge) serveWith(p session.Publisher, opts session.Options, test func()) {
	e.server = session.New(opts, e.rooms, p, e.history, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(e.Context())
	var running sync.WaitGroup
	if _, manual := p.(interface{ Step() bool }); !manual {
		running.Go(func() { e.relay.Run(ctx) })
	}
	web := &http.Server{Handler: http.HandlerFunc(e.serve)}
	running.Go(func() { _ = web.Serve(e.listener) })
	defer running.Wait()
	defer func() { _ = web.Close() }()
	defer cancel()
	defer func() {
		over, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		_ = e.server.Drain(over, 0)
	}()
	test()
}

// settle lets everything happen that the relay has to do.
func (e *edge) settle() {
	for more := true; more; more = e.relay.Step() {
		synctest.Wait()
	}
}
