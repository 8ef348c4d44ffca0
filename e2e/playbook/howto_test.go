package playbook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// This file does what the pages of docs/howto say.

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// token is one for everything, signed with HS256.
func token(secret string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." +
		encode(fmt.Appendf(nil, `{"sub":"bob","exp":%d,"gotapi":{"join":["/**"],"publish":["/**"]}}`, time.Now().Add(time.Hour).Unix()))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

func TestTheSecretOfTokensIsRotatedAndNobodyIsRefused(t *testing.T) {
	t.Parallel()
	const before, after = "the secret of before, 32 bytes or more", "the secret of afterwards, 32 bytes or more"
	file := filepath.Join(t.TempDir(), "jwt-secret")
	writeFile(t, file, before+"\n")
	s := start(t, testbed.Config{EdgeArgs: []string{"-auth-secret-file", file}})
	posted := 0
	post := func(secret string) int {
		posted++
		return client.Do(t, http.MethodPost, s.addr, s.group, client.Data(fmt.Sprint("m-", posted), "hello"), "Authorization: Bearer "+token(secret)).Code
	}
	member := client.Join(t, s.addr, s.group, client.Header("Authorization", "Bearer "+token(before)))
	if code := post(after); code != http.StatusUnauthorized {
		t.Errorf("a token of the next secret is answered with %d, want 401", code)
	}

	writeFile(t, file, after+"\n"+before+"\n")
	s.eventually("tokens of the new secret are taken", func() float64 { return float64(post(after)) }, is(http.StatusOK))
	if code := post(before); code != http.StatusOK {
		t.Errorf("meanwhile, a token of the old secret is answered with %d, want 200", code)
	}
	member.Take(2)

	writeFile(t, file, after+"\n")
	s.eventually("tokens of the old secret are refused", func() float64 { return float64(post(before)) }, is(http.StatusUnauthorized))
	if code := post(after); code != http.StatusOK {
		t.Errorf("a token of the new secret is answered with %d, want 200", code)
	}
	member.Next() // it stays until its token expires
}

// store is what history services find in their settings.
type store struct {
	t        *testing.T
	config   string
	services []*testbed.Process
	*system
}

// configured starts an edge and history services that have -redis from a file.
func configured(t *testing.T, services int, url string) *store {
	t.Helper()
	s := &store{t: t, config: filepath.Join(t.TempDir(), "historysvc.yaml"), system: &system{t: t, edgeOps: testbed.FreeAddr(t), group: client.Group()}}
	s.use(url)
	for range services {
		addr, ops := testbed.FreeAddr(t), testbed.FreeAddr(t)
		p := testbed.StartProcess(t, "historysvc", testbed.Binary(t, "historysvc"), func(ctx context.Context) error { return isReady(ctx, ops) },
			"-config", s.config, "-listen", addr, "-ops-listen", ops)
		p.GRPC = addr
		s.services = append(s.services, p)
	}
	s.addr = testbed.StartEdge(t, s.services, "-ops-listen", s.edgeOps).Addr
	return s
}

// isReady returns why a process is not.
func isReady(ctx context.Context, ops string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", resp.Status)
	}
	return nil
}

// use is for history services that are started from now on.
func (s *store) use(url string) {
	s.t.Helper()
	writeFile(s.t, s.config, "redis: "+url+"\n")
}

// stop ends a history service as an operator does.
func (s *store) stop(p *testbed.Process) {
	s.t.Helper()
	if err := p.Stop(); err != nil {
		s.t.Errorf("%s ended with %v, want exit code 0", p.Name(), err)
	}
}

// startSentinel starts a Sentinel that watches over a master.
func startSentinel(t *testing.T, master string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	addr = testbed.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	host, masterPort, _ := net.SplitHostPort(master)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	writeFile(t, file, fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor gotapi %s %s 2\n"+
		"sentinel down-after-milliseconds gotapi 1000\nsentinel failover-timeout gotapi 6000\n", port, filepath.Dir(file), host, masterPort))
	c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	testbed.StartProcess(t, "sentinel-"+port, path, func(ctx context.Context) error { return c.Ping(ctx).Err() }, file, "--sentinel")
	return addr
}

func TestSentinelsTakeOverASingleRedisWithoutABreak(t *testing.T) {
	t.Parallel()
	master, replica := testbed.FreeAddr(t), testbed.FreeAddr(t)
	one := startServer(t, master, t.TempDir(), "--appendonly", "yes")
	s := configured(t, 2, "redis://"+master+"/0")
	s.publishes("before", 20)
	member := client.Join(t, s.addr, s.group)

	two := startServer(t, replica, t.TempDir(), "--appendonly", "yes", "--replicaof", strings.Replace(master, ":", " ", 1), "--repl-diskless-sync-delay", "0")
	testbed.Eventually(t, "the replica has caught up", func(ctx context.Context) error {
		if info, err := two.client.InfoMap(ctx, "replication").Result(); err != nil || info["Replication"]["master_link_status"] != "up" {
			return errors.Join(errors.New("not yet"), err)
		}
		return nil
	})
	sentinels := []string{startSentinel(t, master), startSentinel(t, master), startSentinel(t, master)}
	s.use("redis+sentinel://" + strings.Join(sentinels, ",") + "/0?master_name=gotapi")
	for i, p := range s.services {
		s.stop(p)
		if code := s.post(fmt.Sprint("during-", i)); code != http.StatusOK {
			t.Errorf("while a history service restarts, a publish is answered with %d, want 200", code)
		}
		p.Start()
	}
	member.Take(2)
	knowsEachOther(t, sentinels)

	one.Kill()
	s.works("after")
	member.Want(client.Data("after", "hello"))
	if n := len(client.History(t, s.addr, s.group).Data); n != 23 {
		t.Errorf("the history has %d messages, want 23", n)
	}
	if n := s.edge("gotapi_edge_gaps_total"); n != 0 {
		t.Errorf("%v gaps, want none", n)
	}
}

// knowsEachOther waits until Sentinels can fail over, with one replica.
func knowsEachOther(t *testing.T, sentinels []string) {
	t.Helper()
	for _, addr := range sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr})
		testbed.Eventually(t, "the Sentinels know the replica and each other", func(ctx context.Context) error {
			m, err := c.Master(ctx, "gotapi").Result()
			if err != nil || m["num-slaves"] != "1" || m["num-other-sentinels"] != "2" {
				return errors.Join(fmt.Errorf("%s knows %s replicas and %s others", addr, m["num-slaves"], m["num-other-sentinels"]), err)
			}
			return nil
		})
		_ = c.Close()
	}
}

// cli runs redis-cli.
func cli(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestASingleRedisBecomesACluster(t *testing.T) {
	t.Parallel()
	single, before := testbed.FreeAddr(t), t.TempDir()
	old := startServer(t, single, before)
	s := configured(t, 2, "redis://"+single+"/0")
	// An empty node that has all slots.
	first, dir := clusterAddr(t), t.TempDir()
	node := startServer(t, first, dir, "--cluster-enabled", "yes", "--appendonly", "no")
	cli(t, "-u", "redis://"+first, "cluster", "addslotsrange", "0", "16383")
	const moved = 500 // slots, the first ones
	for slot := int64(moved); slot >= moved; {
		var err error
		s.group = client.Group()
		if slot, err = node.client.ClusterKeySlot(t.Context(), s.group).Result(); err != nil {
			t.Fatal(err)
		}
	}
	s.publishes("before", 20)
	member := client.Join(t, s.addr, s.group)
	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	// The data goes there while nobody writes.
	for _, p := range s.services {
		s.stop(p)
	}
	copyFile(t, old.bgsave(t, before), filepath.Join(dir, "dump.rdb"))
	old.Kill()
	node.Start()
	cli(t, "-u", "redis://"+first, "config", "set", "appendonly", "yes")
	s.use("redis+cluster://" + first)
	for _, p := range s.services {
		p.Start()
	}
	s.works("after")
	member.Want(client.Data("after", "hello")) // on the connection that it had

	// Others take slots from it while it works.
	second := clusterAddr(t)
	other := startServer(t, second, t.TempDir(), "--cluster-enabled", "yes", "--appendonly", "yes")
	cli(t, "--cluster", "add-node", second, first)
	id := func(addr string) string { return strings.TrimSpace(cli(t, "-u", "redis://"+addr, "cluster", "myid")) }
	testbed.Eventually(t, "the nodes know each other", func(ctx context.Context) error {
		for _, c := range []*redis.Client{node.client, other.client} {
			info, err := c.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:2") {
				return errors.Join(errors.New(info), err)
			}
		}
		return nil
	})
	reshard := exec.CommandContext(t.Context(), "redis-cli", "--cluster", "reshard", first, "--cluster-from", id(first), "--cluster-to", id(second),
		"--cluster-slots", strconv.Itoa(moved), "--cluster-yes")
	out := new(telemetrytest.Log)
	reshard.Stdout, reshard.Stderr = out, out
	resharded := make(chan error, 1)
	go func() { resharded <- reshard.Run() }()
	defer func() {
		if t.Failed() {
			t.Logf("redis-cli --cluster reshard:\n%s", out)
		}
	}()
	n := 0
	for done := false; !done; n++ {
		s.works(fmt.Sprint("moving-", n))
		select {
		case err := <-resharded:
			if done = true; err != nil {
				t.Fatalf("reshard: %v", err)
			}
		default:
		}
	}
	s.works("moved")
	member.Take(n + 1)
	if got := len(client.History(t, s.addr, s.group).Data); got != 20+1+n+1 {
		t.Errorf("the history has %d messages, want %d", got, 20+1+n+1)
	}
	if keys, err := other.client.DBSize(t.Context()).Result(); err != nil || keys == 0 {
		t.Errorf("the other node has %d keys, %v, want those of the group", keys, err)
	}
	if n := s.edge("gotapi_edge_gaps_total"); n != 0 {
		t.Errorf("%v gaps, want none", n)
	}
}

// clusterAddr is free, and so is the port for other nodes, 10000 above.
func clusterAddr(t *testing.T) string {
	t.Helper()
	for {
		addr := testbed.FreeAddr(t)
		var port int
		if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &port); err != nil {
			t.Fatal(err)
		}
		if port < 20000 {
			return addr
		}
	}
}
