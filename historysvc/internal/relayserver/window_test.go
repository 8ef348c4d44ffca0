package relayserver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// recalls remembers within which time it was to recall something.
type recalls struct {
	history.Log
	within time.Duration
}

func (r *recalls) Recall(_ context.Context, _ group.Name, _ string, limit history.Limit, _ stream.Author) error {
	r.within = limit.Within
	return nil
}

func TestTheWindowOfAGroupReplacesThatOfTheEdge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "groups.yaml")
	if err := os.WriteFile(path, []byte("- match: /short\n  recall-window: 1m\n- match: /always\n  recall-window: 0s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	groups, err := groupsettings.Open(path, func() int { return 1 }, "test", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	store := new(recalls)
	s := New(store, nil, nil, Options{Groups: groups}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for _, tt := range []struct {
		group    string
		windowed bool
		within   time.Duration
		want     time.Duration
	}{
		{"/other", true, time.Hour, time.Hour},
		{"/short", true, time.Hour, time.Minute},
		{"/short", true, 0, time.Minute},
		{"/always", true, time.Hour, 0},
		{"/short", false, 0, 0}, // may recall any message at any time
	} {
		_, err := s.Recall(t.Context(), &relayv1.RecallRequest{
			Group: tt.group, Uuid: "u", Windowed: tt.windowed, WithinMs: uint64(tt.within.Milliseconds()),
		})
		if err != nil || store.within != tt.want {
			t.Errorf("%+v: within %v (%v)", tt, store.within, err)
		}
	}
}
