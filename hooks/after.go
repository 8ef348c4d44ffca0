package hooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
	"github.com/gotapi/gotapi-ws/internal/fairshare"
)

// Limits of After.
const (
	// Bounds of the waiting packets: their number, and about their bytes. Packets beyond are dropped.
	afterItems = 10_000
	afterBytes = 16 << 20
	// Bounds of one request.
	batchItems = 100
	batchBytes = 512 << 10
	// How long one try may take, and how often a batch is tried.
	afterTimeout = 5 * time.Second
	afterTries   = 3
	// When the service stops, it delivers the rest within this time, or not at all.
	afterLastMoment = 2 * time.Second
)

// After notifies a webhook of packets that were published. A nil *After does nothing.
type After struct {
	hook    *webhook
	log     *slog.Logger
	metrics *metrics
	retry   backoff.Policy
	// Holds a token when something waits.
	wake chan struct{}

	mu      sync.Mutex
	waiting []Packet
	queue   fairshare.Queue
}

// newAfter returns nil if there is no hook.
func newAfter(cfg Config, known credentials, log *slog.Logger, m *metrics) *After {
	if cfg.AfterURL == "" {
		return nil
	}
	return &After{
		hook: newWebhook(cfg.AfterURL, known, 1), log: log, metrics: m, retry: backoff.Policy{Min: 200 * time.Millisecond},
		wake: make(chan struct{}, 1), queue: fairshare.NewQueue(afterItems, afterBytes),
	}
}

// Tell queues a packet. It never blocks.
func (a *After) Tell(p *Packet) {
	if a == nil {
		return
	}
	size := p.size()
	a.mu.Lock()
	err := a.queue.Check(p.Group, size)
	if err == nil {
		a.queue.Add(p.Group, size)
		a.waiting = append(a.waiting, *p)
	}
	a.mu.Unlock()
	if err != nil {
		a.metrics.delivered.WithLabelValues("dropped").Inc()
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run tells what waits, one batch after another, until ctx ends and a moment longer.
func (a *After) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterLastMoment)
			defer cancel()
			a.tellAll(last)
			return
		case <-a.wake:
			a.tellAll(ctx)
		}
	}
}

func (a *After) tellAll(ctx context.Context) {
	for ctx.Err() == nil {
		batch := a.take()
		if len(batch) == 0 {
			return
		}
		result := "sent"
		if err := a.deliver(ctx, batch); err != nil {
			result = "failed"
			if ctx.Err() == nil {
				a.log.WarnContext(ctx, "notify the hook after publishing failed", "packets", len(batch), "error", err)
			}
		}
		a.metrics.delivered.WithLabelValues(result).Add(float64(len(batch)))
	}
}

// take returns the next batch.
func (a *After) take() []Packet {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, bytes := 0, 0
	for n < len(a.waiting) && n < batchItems {
		p := &a.waiting[n]
		size := p.size()
		if n > 0 && bytes+size > batchBytes {
			break
		}
		n++
		bytes += size
		a.queue.Remove(p.Group, size)
	}
	batch := a.waiting[:n:n]
	a.waiting = a.waiting[n:]
	if len(a.waiting) == 0 {
		a.waiting = nil
	}
	return batch
}

// deliver tries a few times.
func (a *After) deliver(ctx context.Context, batch []Packet) (err error) {
	e := newEvent("after_publish", batch)
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, afterTimeout)
		_, err = a.hook.send(attempt, e)
		cancel()
		if err == nil || try == afterTries {
			return err
		}
		if backoff.Sleep(ctx, a.retry.Delay(try)) != nil {
			return err
		}
	}
}
