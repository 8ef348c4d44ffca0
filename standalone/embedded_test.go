package standalone

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// serving starts the embedded store, which stops with the test.
func serving(t *testing.T) *embedded {
	t.Helper()
	store, err := startEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- store.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve = %v", err)
		}
	})
	return store
}

func client(t *testing.T, rawURL string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEmbeddedKeysExpire(t *testing.T) {
	c := client(t, serving(t).url)
	if err := c.Set(t.Context(), "short", "x", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "long", "x", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, err := c.Exists(t.Context(), "short").Result()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a key with a lifetime of 1 s is still there after 10 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n, err := c.Exists(t.Context(), "long").Result(); err != nil || n != 1 {
		t.Errorf("a key with a lifetime of an hour: exists = %d, %v, want 1", n, err)
	}
}

func TestEmbeddedStoreWantsItsPassword(t *testing.T) {
	u, err := url.Parse(serving(t).url)
	if err != nil {
		t.Fatal(err)
	}
	u.User = nil
	if err := client(t, u.String()).Ping(t.Context()).Err(); err == nil {
		t.Error("ping without password: no error")
	}
}
