package faults

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// A history service that hangs keeps its connections open. Whichever of the two
// it is, every call that another one can serve in time succeeds.
func Test2_2_AHungHistoryServiceCostsNoPublish(t *testing.T) {
	t.Parallel()
	const perPhase = 40
	s := testbed.Start(t, testbed.Config{Store: testbed.Single, Services: 2})
	addr, g := s.Edges[0].Addr, client.Group()
	watcher, sender := client.Join(t, addr, g), client.Join(t, addr, g)
	n := 0
	phase := func(what string) {
		from := n
		n += perPhase
		var over sync.WaitGroup
		over.Go(func() {
			for i := from; i < n; i += 2 {
				if a := client.Do(t, "POST", addr, g, numbered(i)); a.Code != http.StatusOK {
					t.Errorf("%s: publish: %d %s", what, a.Code, a.Body)
				}
			}
		})
		over.Go(func() {
			for i := from; i < n; i++ {
				if a := client.Post(t, addr, "/__/history", client.Values("groupName", g, "size", "1")); a.Code != http.StatusOK {
					t.Errorf("%s: history: %d %s", what, a.Code, a.Body)
				}
				if a := client.Cancel(t, addr, g, "nobody has it"); a.Code != http.StatusNotFound {
					t.Errorf("%s: recall: %d %s, want 404", what, a.Code, a.Body)
				}
			}
		})
		for i := from + 1; i < n; i += 2 {
			sender.Text(numbered(i))
			wantAck(t, sender, uuidOf(i))
		}
		over.Wait()
	}
	phase("all is well")
	for i, svc := range s.Services {
		svc.Pause()
		phase(fmt.Sprint("hung service ", i))
		svc.Resume()
		phase(fmt.Sprint("it goes on: ", i))
	}
	wantEachOnce(t, watcher, client.History(t, addr, g, "size", "10000").Data, n)
}

// wantAck takes messages of others until the ack.
func wantAck(t *testing.T, m *client.Member, uuid string) {
	t.Helper()
	for {
		p := client.Parse(t, m.Next().Data)
		switch {
		case p.Type == 2:
		case p.Type == 1 && p.Command == 1 && p.UUID == uuid:
			return
		default:
			t.Fatalf("got %+v, want the ack of %s", p, uuid)
		}
	}
}

// wantEachOnce checks that a page has messages 0 to n-1 once each, and that a
// member got them in its order.
func wantEachOnce(t *testing.T, m *client.Member, page []string, n int) {
	t.Helper()
	if len(page) != n {
		t.Errorf("the history has %d messages, want %d", len(page), n)
	}
	seen := make(map[string]bool, n)
	for i := len(page) - 1; i >= 0; i-- {
		if seen[page[i]] {
			t.Errorf("the history has %s twice", page[i])
		}
		seen[page[i]] = true
		m.Want(page[i])
	}
	for i := range n {
		if !seen[numbered(i)] {
			t.Errorf("the history lacks message %d", i)
		}
	}
}
