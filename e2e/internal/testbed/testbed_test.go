package testbed

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
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

// direct puts nothing in front.
func direct(addr string) string { return addr }

func TestReplicatedClusterFailsOver(t *testing.T) {
	t.Parallel()
	r := StartReplicatedCluster(t, direct)
	if err := r.Client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	replica := redis.NewClient(&redis.Options{Addr: r.Nodes[3].Addr})
	defer replica.Close()
	if err := replica.ClusterFailover(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the replica is the master", func(ctx context.Context) error {
		info, err := replica.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "role:master") {
			err = errors.New(info)
		}
		return err
	})
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	r, sentinels := StartSentinelRedis(t, direct)
	if err := r.Client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := redis.NewSentinelClient(&redis.Options{Addr: sentinels[0].Addr})
	defer func() { _ = s.Close() }()
	if err := s.Failover(t.Context(), MasterName).Err(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "another master", func(ctx context.Context) error {
		at, err := s.GetMasterAddrByName(ctx, MasterName).Result()
		if err == nil && "127.0.0.1:"+at[1] == r.Nodes[0].Addr {
			err = errors.New("the old master")
		}
		return err
	})
}
