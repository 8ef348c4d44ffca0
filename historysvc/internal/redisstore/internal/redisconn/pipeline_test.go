package redisconn

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
)

func TestTheClusterDriverSendsNothingTwice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	cutter := redistest.StartCutter(t, server)

	// A driver that takes the one server for a cluster, and retries by default.
	client, _, err := dial("redis+cluster://"+cutter.Addr(), dialSettings{timeout: CallTimeout})
	if err != nil {
		t.Fatal(err)
	}
	options := *client.(*redis.ClusterClient).Options()
	client.Close()
	options.ClusterSlots = func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{End: layout.Slots - 1, Nodes: []redis.ClusterNode{{Addr: cutter.Addr()}}}}, nil
	}
	cluster := redis.NewClusterClient(&options)
	defer func() { _ = cluster.Close() }()
	if err := cluster.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	cutter.Cut("the marked text", 1)
	c := &Conn{client: cluster}
	cmd := NewCommand(t.Context(), CallAppend, 1, "rpush", "list", "the marked text")
	c.ExecEach(t.Context(), func(pipe redis.Pipeliner) { _ = pipe.Process(t.Context(), cmd) })
	if OutcomeOf(cmd.Err()) != Unknown || cutter.Left() > 0 {
		t.Errorf("outcome %d, %v; %d answers left to swallow", OutcomeOf(cmd.Err()), cmd.Err(), cutter.Left())
	}
	if answer, err := server.Do("LLEN list"); err != nil || answer != ":1" {
		t.Errorf("the list has %q elements, want 1; %v", answer, err)
	}
}

// TestARefusedConnectionIsAnErrorOfEachCommand changes the password while no
// connection is open: the next pipeline must open one, which Redis refuses.
func TestARefusedConnectionIsAnErrorOfEachCommand(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--requirepass", "old")
	c, err := Open(t.Context(), Options{URL: "redis://:old@" + server.Addr}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Client().ConfigSet(t.Context(), "requirepass", "new").Err(); err != nil {
		t.Fatal(err)
	}
	_ = c.Client().ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "no").Err() // no answer comes
	var list *redis.StringSliceCmd
	queue := func(pipe redis.Pipeliner) { list = pipe.LRange(t.Context(), "list", 0, -1) }
	for name, exec := range map[string]func() error{
		"Exec":       func() error { return c.Exec(t.Context(), queue) },
		"ExecAtomic": func() error { return c.ExecAtomic(t.Context(), queue) },
		"ExecEach": func() error {
			c.ExecEach(t.Context(), queue)
			return list.Err()
		},
	} {
		// The first attempt may find that the old connection is closed.
		_ = exec()
		if err := ReadError(exec()); !errors.Is(err, history.ErrUnavailable) || OutcomeOf(err) != Refused {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
		if err := list.Err(); OutcomeOf(err) != Refused {
			t.Errorf("%s: the command has the error %v, want the refusal", name, err)
		}
	}
}
