package playbook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
	"github.com/gotapi/gotapi-ws/services/tlsfiles/tlstest"
)

func TestEdgeWithoutHistory(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{})
	member := client.Join(t, s.addr, s.group)
	s.Services[0].Kill()
	s.eventually("the edge has no stream", func() float64 { return s.edge("gotapi_edge_relay_up") }, is(0))
	s.wantAlarm("GotapiEdgeWithoutHistory")
	if code := s.post("refused"); code != http.StatusServiceUnavailable {
		t.Errorf("a publish is answered with %d, want 503", code)
	}
	s.Services[0].Start()
	s.works("after")
	member.Want(client.Data("after", "hello")) // it stayed connected and missed nothing
	s.wantAlarm("")
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{})
	member := client.Join(t, s.addr, s.group)
	s.Redis.Nodes[0].Kill()
	s.eventually("the history service has no Redis", func() float64 { return s.history("gotapi_history_redis_up") }, is(0))
	s.eventually("it is not ready", func() float64 { return float64(ready(t, s.historyOps)) }, is(http.StatusServiceUnavailable))
	s.wantAlarm("GotapiRedisDown")
	if code := s.post("refused"); code != http.StatusServiceUnavailable {
		t.Errorf("a publish is answered with %d, want 503", code)
	}
	s.eventually("it counts against the error budget",
		func() float64 { return s.edge(`gotapi_edge_relay_publishes_total{outcome="unavailable"}`) }, atLeast(1))
	s.Redis.Nodes[0].Start()
	s.works("after")
	member.Want(client.Data("after", "hello"))
	s.wantAlarm("")
}

func TestMessagesLost(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{})
	member := client.Join(t, s.addr, s.group)
	s.works("lost")
	member.Want(client.Data("lost", "hello"))
	if err := s.Redis.Client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.works("after")
	s.eventually("the loss is counted", func() float64 { return s.edge("gotapi_edge_gaps_total") }, atLeast(1))
	if p := client.Parse(t, member.Next().Data); p.Command != 7 || !strings.Contains(string(p.Body.Data), "410") {
		t.Errorf("the member got %+v, want code 410", p)
	}
	member.WantClose(1012)
	if got := client.History(t, s.addr, s.group).Data; len(got) != 1 {
		t.Errorf("the history is %q, want what was published since", got)
	}
}

func TestRedisSlow(t *testing.T) {
	t.Parallel()
	redis := testbed.StartRedis(t)
	slow, err := faultproxy.Listen("127.0.0.1:0", redis.Nodes[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	historyOps, edgeOps := testbed.FreeAddr(t), testbed.FreeAddr(t)
	service := testbed.StartServiceAt(t, "redis://"+slow.Addr+"/0", "-ops-listen", historyOps)
	edge := testbed.StartEdge(t, []*testbed.Process{service}, "-ops-listen", edgeOps)
	s := &system{t: t, edgeOps: edgeOps, historyOps: historyOps, addr: edge.Addr, group: client.Group()}
	s.works("fast")
	quick := s.history(`gotapi_history_redis_seconds_bucket{kind="append",le="0.1024"}`)
	slow.Slow(150 * 1e6) // 150 ms each way
	s.works("slow")
	if all := s.history(`gotapi_history_redis_seconds_count{kind="append"}`); all <= quick || s.history(`gotapi_history_redis_seconds_bucket{kind="append",le="0.1024"}`) != quick {
		t.Errorf("%v appends, %v of them quick before, %v now; want a slow one", all, quick, s.history(`gotapi_history_redis_seconds_bucket{kind="append",le="0.1024"}`))
	}
	if late := s.edge(`gotapi_edge_publish_seconds_count`) - s.edge(`gotapi_edge_publish_seconds_bucket{le="0.256"}`); late < 1 {
		t.Errorf("%v acks were late, want 1", late)
	}
}

func TestPublishQueueFillsWhileRedisHangs(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{ServiceArgs: []string{"-publish-queue", "200", "-publish-queue-group", "100"}})
	s.works("before")
	sender := client.Join(t, s.addr, s.group)
	s.Redis.Nodes[0].Pause()
	defer s.Redis.Nodes[0].Resume()
	for i := range 150 {
		sender.Text(client.Data(fmt.Sprint("waiting-", i), "hello"))
	}
	s.eventually("publications wait", func() float64 { return s.history("gotapi_history_append_waiting") }, atLeast(50))
	s.eventually("so they do in the edge", func() float64 { return s.edge("gotapi_edge_relay_unanswered") }, atLeast(50))
	_, code := sender.Refusal()
	if code != http.StatusTooManyRequests && code != http.StatusServiceUnavailable && code != http.StatusGatewayTimeout {
		t.Errorf("what does not fit is refused with %d, want 429", code)
	}
	s.Redis.Nodes[0].Resume()
	s.works("after")
	s.eventually("the queue is empty", func() float64 { return s.history("gotapi_history_append_waiting") }, is(0))
}

func TestSlowConsumers(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{EdgeArgs: []string{"-member-queue-bytes", "131072"}})
	client.JoinDeaf(t, s.addr, s.group, client.ReceiveBuffer(4096))
	cut := func() float64 { return s.edge(`gotapi_edge_disconnects_total{reason="slow_consumer"}`) }
	packet := strings.Repeat("x", 30_000)
	testbed.Eventually(t, "the deaf member is disconnected", func(context.Context) error {
		for range 20 {
			s.postText(packet)
		}
		if cut() == 0 {
			return fmt.Errorf("%v bytes wait", s.edge("gotapi_edge_queue_bytes"))
		}
		return nil
	})
}

func TestUpgradesRefused(t *testing.T) {
	t.Parallel()
	s := start(t, testbed.Config{EdgeArgs: []string{"-max-connections", "1"}})
	first := client.Join(t, s.addr, s.group)
	_, resp, err := client.TryJoin(t, s.addr, s.group) //nolint:bodyclose // the dialer has read and closed it
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("the second member got %v, %v; want 503", resp, err)
	}
	if n := s.edge(`gotapi_edge_refused_upgrades_total{reason="full"}`); n != 1 {
		t.Errorf("%v refusals are counted, want 1", n)
	}
	first.Leave()
	s.eventually("there is room", func() float64 { return s.edge("gotapi_edge_sessions") }, is(0))
	client.Join(t, s.addr, s.group)
}

func TestFileDescriptors(t *testing.T) {
	t.Parallel()
	prlimit, err := exec.LookPath("prlimit") // of util-linux, which every Linux has
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, testbed.Config{})
	addr, ops := testbed.FreeAddr(t), testbed.FreeAddr(t)
	serving := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/__status", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	testbed.StartProcess(t, "edge-few-files", prlimit, serving, "--nofile=64", "--", testbed.Binary(t, "edge"),
		"-listen", addr, "-ops-listen", ops, "-history", s.Services[0].GRPC)
	for range 30 {
		client.Join(t, addr, s.group)
	}
	if share := metric(t, ops, "process_open_fds") / metric(t, ops, "process_max_fds"); share < 0.5 {
		t.Errorf("with 30 members, %v of 64 file descriptors are in use", share)
	}
	for range 100 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	s.eventually("operations are answered while connections are refused",
		func() float64 { return metric(t, ops, `gotapi_edge_refused_tcp_connections_total{limit="files"}`) }, atLeast(50))
}

func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	authority := tlstest.NewAuthority(t)
	cert, key := authority.Server(t).Write(t, t.TempDir(), "server")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	https := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
	s := start(t, testbed.Config{})
	addr, ops := testbed.FreeAddr(t), testbed.FreeAddr(t)
	up := func(context.Context) error {
		resp, err := https.Get("https://" + addr + "/__status")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	testbed.StartProcess(t, "edge-tls", testbed.Binary(t, "edge"), up,
		"-listen", addr, "-ops-listen", ops, "-history", s.Services[0].GRPC, "-tls-cert", cert, "-tls-key", key)
	left := metric(t, ops, `gotapi_tls_certificate_expiry_timestamp_seconds{use="http"}`)
	if left == 0 {
		t.Error("the certificate's end is not shown")
	}
	if err := os.WriteFile(cert, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.eventually("the new file is refused", func() float64 { return metric(t, ops, `gotapi_tls_reloads_total{result="refused",use="http"}`) }, atLeast(1))
	if now := metric(t, ops, `gotapi_tls_certificate_expiry_timestamp_seconds{use="http"}`); now != left {
		t.Errorf("the certificate in use ends at %v, want the old one's %v", now, left)
	}
	if err := up(t.Context()); err != nil {
		t.Errorf("the service does not go on with the old one: %v", err)
	}
}
