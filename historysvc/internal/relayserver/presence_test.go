package relayserver

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// census is a history.Presence that keeps counts, and waits or fails if told to.
type census struct {
	mu      sync.Mutex
	counts  map[group.Name]uint32
	reports int
	left    []uint64
	// Before a report is taken: it may wait, and its error is returned.
	before func() error
}

func (c *census) Report(_ context.Context, _ uint64, full bool, members map[group.Name]uint32) error {
	if c.before != nil {
		if err := c.before(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports++
	if full || c.counts == nil {
		c.counts = make(map[group.Name]uint32)
	}
	maps.Copy(c.counts, members)
	return nil
}

func (c *census) Leave(_ context.Context, edge uint64) error {
	c.left = append(c.left, edge)
	return nil
}

func (c *census) Members(context.Context) (map[group.Name]uint32, error) { return c.counts, nil }

func testPresenceWriter(t *testing.T, c *census, test func(w *presenceWriter)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newPresenceWriter(c, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.run(ctx) })
		test(w)
		cancel()
		running.Wait()
	})
}

func message(full bool, members map[string]uint32) *relayv1.Presence {
	return &relayv1.Presence{Full: full, Members: members}
}

func TestReportsThatComeMeanwhileAreMerged(t *testing.T) {
	var release chan struct{}
	c := &census{before: func() error { <-release; return nil }}
	testPresenceWriter(t, c, func(w *presenceWriter) {
		release = make(chan struct{})
		w.update(7, message(true, map[string]uint32{"/a": 1}))
		synctest.Wait()
		w.update(7, message(false, map[string]uint32{"/a": 2}))
		w.update(7, message(false, map[string]uint32{"/b": 3}))
		w.update(7, message(true, map[string]uint32{"/c": 4}))
		w.update(7, message(false, map[string]uint32{"/d": 5}))
		close(release)
		synctest.Wait()
		if diff := cmp.Diff(map[group.Name]uint32{"/c": 4, "/d": 5}, c.counts); diff != "" || c.reports != 2 {
			t.Errorf("%d reports, want 2; counts, want (-), got (+):\n%s", c.reports, diff)
		}
	})
	if len(c.left) != 0 {
		t.Errorf("edges %v left, although none said so", c.left)
	}
}

func TestFailedReportGoesWithTheNextOne(t *testing.T) {
	fails := true
	c := &census{before: func() error {
		if fails {
			return errors.New("down")
		}
		return nil
	}}
	testPresenceWriter(t, c, func(w *presenceWriter) {
		w.update(7, message(true, map[string]uint32{"/a": 1, "/b": 1}))
		synctest.Wait()
		fails = false
		w.update(7, message(false, map[string]uint32{"/b": 2}))
		synctest.Wait()
		if diff := cmp.Diff(map[group.Name]uint32{"/a": 1, "/b": 2}, c.counts); diff != "" {
			t.Errorf("counts, want (-), got (+):\n%s", diff)
		}
	})
}

func TestEdgeThatLeavesIsForgotten(t *testing.T) {
	c := &census{}
	testPresenceWriter(t, c, func(w *presenceWriter) {
		w.update(7, message(true, nil))
		synctest.Wait()
		w.leave()
	})
	if diff := cmp.Diff([]uint64{7}, c.left); diff != "" {
		t.Errorf("left, want (-), got (+):\n%s", diff)
	}
}
