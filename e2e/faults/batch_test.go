package faults

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// batchOf are the lines of n messages from the first on.
func batchOf(group string, first, n int) (lines []string) {
	for i := first; i < first+n; i++ {
		lines = append(lines, client.BatchLine(group, numbered(i)))
	}
	return lines
}

// wantOrder checks that nothing of a group was published after a refusal that may pass.
func wantOrder(t *testing.T, results []client.BatchResult) (stored int) {
	t.Helper()
	barred := make(map[string]int)
	for i, r := range results {
		switch {
		case r.Code == http.StatusOK && barred[r.Group] != 0:
			t.Errorf("result %d is 200 after a %d of its group", i, barred[r.Group])
		case r.Code == http.StatusOK:
			stored++
		case r.Code == 429 || r.Code == 503 || r.Code == 504:
			barred[r.Group] = r.Code
		default:
			t.Errorf("result %d: %+v", i, r)
		}
	}
	return stored
}

func Test3_1_AFrozenHistoryServiceGives504AndStoresOnce(t *testing.T) {
	t.Parallel()
	redis := testbed.StartRedis(t)
	service := testbed.StartService(t, redis)
	edge := testbed.StartEdge(t, []*testbed.Process{service}, "-publish-timeout", "1s")
	g := client.Group()
	client.Publish(t, edge.Addr, g, numbered(0))
	service.Pause()
	lines := batchOf(g, 1, 200)
	results := client.Batch(t, edge.Addr, lines...)
	service.Resume()
	if stored := wantOrder(t, results); stored != 0 {
		t.Errorf("%d are stored by a service that is frozen", stored)
	}
	if results[0].Code != http.StatusGatewayTimeout || results[199].Code != http.StatusServiceUnavailable {
		t.Errorf("the first is %+v, the last %+v; want 504, as it was sent, and 503", results[0], results[199])
	}
	// Repeating the request until all are stored is safe.
	eventually(t, "the batch is stored", func() error {
		for i, r := range client.Batch(t, edge.Addr, lines...) {
			if r.Code != http.StatusOK {
				return fmt.Errorf("result %d: %+v", i, r)
			}
		}
		return nil
	})
	wantHistory(t, edge.Addr, g, 201)
}

// wantHistory checks that a group has n messages, numbered in order.
func wantHistory(t *testing.T, addr, g string, n int) {
	t.Helper()
	page := client.History(t, addr, g, "size", "10000").Data
	slices.Reverse(page)
	for i, packet := range page {
		if packet != numbered(i) {
			t.Fatalf("message %d is %s", i, packet)
		}
	}
	if len(page) != n {
		t.Errorf("%d messages are stored, want %d", len(page), n)
	}
}

// The hook before publishing refuses one packet for good, and fails at another.
func Test3_1_AHookRefusesOneLine(t *testing.T) {
	t.Parallel()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), `"uuid":"`+uuidOf(3)+`"`):
			_, _ = io.WriteString(w, `{"action":"deny","reason":"no"}`)
		case strings.Contains(string(body), `"uuid":"`+uuidOf(6)+`"`):
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_, _ = io.WriteString(w, `{"action":"allow"}`)
		}
	}))
	t.Cleanup(hook.Close)
	redis := testbed.StartRedis(t)
	edge := testbed.StartEdge(t, []*testbed.Process{testbed.StartService(t, redis)}, "-hook-before-url", hook.URL)
	g, other := client.Group(), client.Group()
	lines := append(batchOf(g, 0, 9), batchOf(other, 0, 1)...)
	var codes []int
	for _, r := range client.Batch(t, edge.Addr, lines...) {
		codes = append(codes, r.Code)
	}
	if want := []int{200, 200, 200, 403, 200, 200, 503, 503, 503, 200}; !slices.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
}

// Batches to one group are more than may wait for Redis, which is slow.
func Test3_1_RefusalsKeepTheOrderOfAGroup(t *testing.T) {
	edge, _, link := slowSystem(t, []string{"-publish-queue", "256"}, nil)
	client.Publish(t, edge.Addr, client.Group(), "ready")
	link.Slow(20 * time.Millisecond)
	g := client.Group()
	var publishers sync.WaitGroup
	var mu sync.Mutex
	refused, stored := 0, 0
	for p := range 8 {
		publishers.Go(func() {
			for round := range 5 {
				var lines []string
				for i := range 100 {
					lines = append(lines, client.BatchLine(g, client.Data(fmt.Sprintf("%d-%d-%03d", p, round, i), "x")))
				}
				results := client.Batch(t, edge.Addr, lines...)
				n := wantOrder(t, results)
				mu.Lock()
				stored, refused = stored+n, refused+len(results)-n
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	if refused == 0 || stored == 0 {
		t.Fatalf("%d were refused and %d stored: the test shows nothing", refused, stored)
	}
	page := client.History(t, edge.Addr, g, "size", "10000").Data
	if len(page) != stored {
		t.Errorf("%d messages are stored, but %d were answered with 200", len(page), stored)
	}
	slices.Reverse(page)
	last := make(map[string]string) // of each batch
	for _, packet := range page {
		_, uuid, _ := strings.Cut(packet, `"uuid":"`)
		uuid, _, _ = strings.Cut(uuid, `"`)
		batch, number := uuid[:3], uuid[4:]
		if number <= last[batch] {
			t.Errorf("message %s of batch %s comes after %s", number, batch, last[batch])
		}
		last[batch] = number
	}
}
