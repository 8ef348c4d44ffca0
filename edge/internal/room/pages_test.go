package room

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/contexttest"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
)

func TestWaitingReadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPages(nil, 1, newMetrics(prometheus.NewRegistry(), new(Registry)))
		for range maxReads {
			p.semaphore <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.read(ctx, "/room", relay.Start{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

// hanging is a relay whose reads end with their context, or when the test wants it.
type hanging struct {
	Relay
	reads int
	end   chan struct{}
}

func (h *hanging) Read(ctx context.Context, _ group.Name, _ relay.Start) (relay.Batch, error) {
	h.reads++
	select {
	case <-h.end:
		return relay.Batch{}, nil
	case <-ctx.Done():
		return relay.Batch{}, ctx.Err()
	}
}

// reading reads until ctx ends, and sends the error.
func reading(ctx context.Context, p *pages) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.read(ctx, "/room", relay.Start{})
		done <- err
	}()
	synctest.Wait()
	return done
}

func TestAReadEndsWithTheLastThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{end: make(chan struct{})}
		p := newPages(h, 1, newMetrics(prometheus.NewRegistry(), new(Registry)))
		var done []<-chan error
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			done = append(done, reading(ctx, p))
		}
		cancel()
		for i, d := range done {
			if err := <-d; !errors.Is(err, context.Canceled) {
				t.Errorf("member %d: %v", i, err)
			}
		}
		if h.reads != 1 || len(p.semaphore) != 0 || len(p.reads) != 0 {
			t.Errorf("%d reads, of which %d go on, and %d are known; want one that has ended", h.reads, len(p.semaphore), len(p.reads))
		}
	})
}

func TestAReadGoesOnForThoseThatStay(t *testing.T) {
	for _, busy := range []int{0, maxReads} { // it is under way, or waits for its turn
		synctest.Test(t, func(t *testing.T) {
			h := &hanging{end: make(chan struct{})}
			p := newPages(h, 1, newMetrics(prometheus.NewRegistry(), new(Registry)))
			for range busy {
				p.semaphore <- struct{}{}
			}
			ctx, cancel := context.WithCancel(t.Context())
			leaves, stays := reading(ctx, p), reading(t.Context(), p)
			cancel()
			synctest.Wait()
			for range busy {
				<-p.semaphore
			}
			h.end <- struct{}{}
			if err := <-stays; err != nil {
				t.Errorf("with %d others, one that stays: %v", busy, err)
			}
			if err := <-leaves; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("with %d others, one that leaves: %v", busy, err)
			}
			if h.reads != 1 {
				t.Errorf("with %d others: %d reads, want 1", busy, h.reads)
			}
		})
	}
}

func TestAMemberLeavesAReadWhateverEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{end: make(chan struct{})}
		p := newPages(h, 1, newMetrics(prometheus.NewRegistry(), new(Registry)))
		ctx, cancel := context.WithCancel(t.Context())
		first := reading(ctx, p)
		late := contexttest.NewLate(t.Context())
		leaves := reading(late, p)
		late.End()
		if err := <-leaves; !errors.Is(err, context.Canceled) {
			t.Errorf("the member that leaves: %v", err)
		}
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the last: %v", err)
		}
	})
}
