package playbook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// server is a redis-server in a folder of its own, as docs/operations.md has it.
type server struct {
	*testbed.Process
	client *redis.Client
}

func startServer(t *testing.T, addr, dir string, args ...string) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	host, port, _ := net.SplitHostPort(addr)
	p := testbed.StartProcess(t, "redis-"+filepath.Base(dir), path, func(ctx context.Context) error { return c.Ping(ctx).Err() },
		append([]string{"--bind", host, "--port", port, "--dir", dir, "--save", ""}, args...)...)
	return &server{p, c}
}

// on starts a history service and an edge on that Redis.
func on(t *testing.T, redisAddr string) *system {
	t.Helper()
	s := &system{t: t, edgeOps: testbed.FreeAddr(t), historyOps: testbed.FreeAddr(t), group: client.Group()}
	service := testbed.StartServiceAt(t, "redis://"+redisAddr+"/0", "-ops-listen", s.historyOps)
	s.addr = testbed.StartEdge(t, []*testbed.Process{service}, "-ops-listen", s.edgeOps).Addr
	return s
}

func (s *system) publishes(name string, n int) {
	s.t.Helper()
	for i := range n {
		s.works(fmt.Sprintf("%s-%d", name, i))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// bgsave makes a snapshot and returns its path.
func (r *server) bgsave(t *testing.T, dir string) string {
	t.Helper()
	if err := r.client.BgSave(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the snapshot is written", func(ctx context.Context) error {
		info, err := r.client.InfoMap(ctx, "persistence").Result()
		if err != nil {
			return err
		}
		if p := info["Persistence"]; p["rdb_bgsave_in_progress"] != "0" || p["rdb_last_bgsave_status"] != "ok" {
			return errors.New("not yet")
		}
		return nil
	})
	return filepath.Join(dir, "dump.rdb")
}

func TestASnapshotIsRestoredIntoAFreshServerAndMembersAreToldOfWhatItLacks(t *testing.T) {
	t.Parallel()
	addr, before, after := testbed.FreeAddr(t), t.TempDir(), t.TempDir()
	old := startServer(t, addr, before, "--appendonly", "yes")
	s := on(t, addr)
	s.publishes("kept", 20)
	snapshot := old.bgsave(t, before)
	copyFile(t, snapshot, filepath.Join(after, "dump.rdb"))
	member := client.Join(t, s.addr, s.group)
	s.publishes("lost", 5)
	member.Take(5)

	old.Kill()
	// A server that is to load a snapshot must start without an append-only file.
	fresh := startServer(t, addr, after, "--appendonly", "no")
	if err := fresh.client.ConfigSet(t.Context(), "appendonly", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	// Nobody has to restart anything.
	s.works("new")
	if p := client.Parse(t, member.Next().Data); p.Command != 7 {
		t.Errorf("the member got %+v, want code 410", p)
	}
	member.WantClose(1012)
	page := client.History(t, s.addr, s.group)
	if n := len(page.Data); n != 21 {
		t.Errorf("the history has %d messages, want the 20 of the snapshot and the new one", n)
	}
	// What the snapshot lacks can be sent again.
	s.works("lost-0")
	if n := len(client.History(t, s.addr, s.group).Data); n != 22 {
		t.Errorf("the history has %d messages, want 22", n)
	}
}

func TestAnAppendOnlyFileIsRestoredAndMembersNoticeNothing(t *testing.T) {
	t.Parallel()
	addr, before, after := testbed.FreeAddr(t), t.TempDir(), t.TempDir()
	old := startServer(t, addr, before, "--appendonly", "yes", "--appendfsync", "always")
	s := on(t, addr)
	s.publishes("kept", 20)
	member := client.Join(t, s.addr, s.group)
	s.works("last")
	member.Want(client.Data("last", "hello"))
	old.Kill()
	if err := os.CopyFS(filepath.Join(after, "appendonlydir"), os.DirFS(filepath.Join(before, "appendonlydir"))); err != nil {
		t.Fatal(err)
	}
	startServer(t, addr, after, "--appendonly", "yes", "--appendfsync", "always")
	s.works("new")
	member.Want(client.Data("new", "hello")) // on the connection that it had
	if n := len(client.History(t, s.addr, s.group).Data); n != 22 {
		t.Errorf("the history has %d messages, want 22", n)
	}
	if n := s.edge("gotapi_edge_gaps_total"); n != 0 {
		t.Errorf("%v gaps, want none", n)
	}
}
