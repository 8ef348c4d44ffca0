package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// presenceWithin is when the figures must be right again after the last fault: an
// edge that died is forgotten after 5 s, and edges report everything they have every
// 10 s, should Redis have lost it.
const presenceWithin = 20 * time.Second

// presence waits until every edge counts exactly the members of every room. All are
// connected when it is called.
func (w *workload) presence(ctx context.Context) error {
	want := make(map[string]int)
	for r, n := range w.present {
		want[r.name] = n
	}
	return within(ctx, presenceWithin, func() error {
		for _, edge := range w.edges {
			if err := comparePresence(ctx, edge, want); err != nil {
				return err
			}
		}
		return nil
	})
}

func comparePresence(ctx context.Context, edge string, want map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+edge+"/__/groups", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+testbed.AdminSecret)
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Groups []struct {
			Name    string
			Members int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("presence at %s: status %d, %w", edge, resp.StatusCode, err)
	}
	got := make(map[string]int)
	for _, g := range answer.Groups {
		got[g.Name] = g.Members
	}
	for name, n := range want {
		if got[name] != n {
			return fmt.Errorf("presence at %s: %s has %d members, %v after the last fault it is said to have %d", edge, name, n, presenceWithin, got[name])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("presence at %s: %d groups, want %d", edge, len(got), len(want))
	}
	return nil
}
