package testbed

import (
	"context"
	"testing"
)

func TestMain(m *testing.M) { Main(m, nil) }

func TestRedisKeepsItsDataOverACrash(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	if err := r.Client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Nodes[0].Kill()
	r.Nodes[0].Start()
	Eventually(t, "the value", func(ctx context.Context) error { return r.Client.Get(ctx, "k").Err() })
}

func TestClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	r := StartRedisCluster(t)
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := r.Client.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
