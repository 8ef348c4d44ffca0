package redisstore

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// callCounter counts the commands that are not in pipelines.
type callCounter struct{ n atomic.Int64 }

func (c *callCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *callCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *callCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAMessageThatTheIndexKnowsIsRecalledInOneCall(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "first", `q"uo\te`, "ünï", "z")
			if err := s.Recall(t.Context(), g, "first", history.Limit{}, stream.Author{}); err != nil { // the server has the script now
				t.Fatal(err)
			}
			var calls callCounter
			s.conn.Client().AddHook(&calls)
			for _, uuid := range []string{"a", `q"uo\te`, "ünï", "z"} {
				calls.n.Store(0)
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
					t.Errorf("%s: %v", uuid, err)
				}
				if n := calls.n.Load(); n != 1 {
					t.Errorf("%s took %d calls, want 1", uuid, n)
				}
			}
			want := []string{"z", "ünï", `q"uo\te`, "first", "a"}
			for i, text := range list(t, s, g) {
				if text != string(packet.Tombstone(want[i])) {
					t.Errorf("at %d: %s", i, text)
				}
			}
		})
	}
}

func TestAMessageThatIsWrittenInAnotherWayIsRecalled(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			texts := map[string]string{
				"spaced":  ` {"type": 2, "uuid": "spaced"}`,
				"order":   `{"uuid":"order","type":2,"body":{"uuid":"nested"}}`,
				"escaped": `{"type":2,"uuid":"\u0065scaped"}`,
				"body":    `{"type":2,"body":{"type":2,"uuid":"nested"},"uuid":"body"}`,
			}
			for uuid, text := range texts {
				if r := submit(t, s, g, uuid, text); r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			for uuid := range texts {
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
					t.Errorf("%s: %v", uuid, err)
				}
				if stored := list(t, s, g); !slices.Contains(stored, string(packet.Tombstone(uuid))) {
					t.Errorf("%s: the list has %q", uuid, stored)
				}
			}
		})
	}
}
