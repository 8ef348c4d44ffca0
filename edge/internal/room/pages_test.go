package room

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
)

func TestWaitForATurnToReadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPages(nil, prometheus.NewRegistry())
		for range maxReads {
			p.turns <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.read(ctx, "/room", relay.Start{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
