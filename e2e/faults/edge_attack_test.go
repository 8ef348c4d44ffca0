package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

const (
	// What the compose file gives an edge and a history service.
	edgeMemory    = 512 << 20
	serviceMemory = 256 << 20

	victimKey = "gotapi_0123456789abcdefghijklmnopqrstuvwxyz"
)

// withMemory makes the programs that are started next take the memory of a container for
// theirs, as services/program does.
func withMemory(t *testing.T, container int64) {
	t.Setenv("GOMEMLIMIT", fmt.Sprint(container/10*9))
}

// target is a system with the memory of the shipped files, in which strangers may do
// much, and one caller has a credential.
type target struct {
	*testbed.System
	// What begins the URLs of the edge.
	scheme    string
	addr, ops string
}

func newTarget(t *testing.T, edgeArgs ...string) *target {
	t.Helper()
	return newTargetOf(t, "http://", func(services []*testbed.Process, args ...string) *testbed.Process {
		return testbed.StartEdge(t, services, args...)
	}, edgeArgs...)
}

func newTargetOf(t *testing.T, scheme string, startEdge func(services []*testbed.Process, args ...string) *testbed.Process, edgeArgs ...string) *target {
	t.Helper()
	dir, sum := t.TempDir(), sha256.Sum256([]byte(victimKey))
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const rights = "join: [/**]\n%[1]spublish: [/**]\n%[1]sread: [/**]\n"
	args := []string{
		"-service-token-file", file("token", strings.Repeat("s", 32)+"\n"),
		"-auth-api-keys-file", file("keys", "keys:\n  - name: victim\n    sha256: "+hex.EncodeToString(sum[:])+"\n    "+fmt.Sprintf(rights, "    ")),
		"-auth-policy-file", file("policy", "anonymous:\n  "+fmt.Sprintf(rights, "  ")),
	}
	s := &testbed.System{Redis: testbed.StartRedis(t)}
	withMemory(t, serviceMemory)
	s.Services = append(s.Services, testbed.StartService(t, s.Redis, args...))
	withMemory(t, edgeMemory)
	ops := testbed.FreeAddr(t)
	edge := startEdge(s.Services, slices.Concat(args, []string{"-ops-listen", ops}, edgeArgs)...)
	s.Edges = append(s.Edges, edge)
	return &target{s, scheme, edge.Addr, ops}
}

// metric returns a metric of the edge; 0 if there is none.
func (g *target) metric(t *testing.T, name string) float64 {
	t.Helper()
	all, err := testbed.Metrics(t.Context(), g.ops)
	if err != nil {
		t.Fatal(err)
	}
	return all[name]
}

// awaitMetric waits until a metric of the edge has a value.
func (g *target) awaitMetric(t *testing.T, name string, least float64) {
	t.Helper()
	eventually(t, name, func() error {
		if v := g.metric(t, name); v < least {
			return fmt.Errorf("it is %v, want %v", v, least)
		}
		return nil
	})
}

// stranger dials from an address of its own, and takes little that it does not read.
func stranger(ctx context.Context, addr string, i int) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			return errors.Join(raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			}), err)
		},
	}
	return d.DialContext(ctx, "tcp", addr)
}

// asVictim sends a request with the credential, and returns the status; 0: no answer.
func (g *target) asVictim(ctx context.Context, method, path, body string) int {
	req, err := http.NewRequestWithContext(ctx, method, g.scheme+g.addr+path, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("X-Api-Key", victimKey)
	resp, err := floodClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// wantService lets the caller with a credential publish and read while others attack:
// each request is served, and the programs stay within their memory. How long the requests
// take depends on who else uses the machine, so it is logged.
func (g *target) wantService(t *testing.T) {
	t.Helper()
	const requests = 16
	group := client.Group()
	var times []time.Duration
	for i := range requests {
		method, path, body := http.MethodPost, group, client.Data(uuidOf(i), "x")
		if i%2 == 1 {
			method, path, body = http.MethodGet, "/__/history?size=20&groupName="+url.QueryEscape(group), ""
		}
		began := time.Now()
		if code := g.asVictim(t.Context(), method, path, body); code != http.StatusOK {
			t.Errorf("request %d of the caller with a credential, %s: %d, want 200", i, method, code)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	t.Logf("requests of the caller with a credential: median %v, longest %v", times[requests/2], times[requests-1])
	wantMemory(t, g.Edges[0], edgeMemory)
	wantMemory(t, g.Services[0], serviceMemory)
}

// wantMemory checks the most memory that a process has had.
func wantMemory(t *testing.T, p *testbed.Process, bound int64) {
	t.Helper()
	peak, err := testbed.PeakMemory(p.PID())
	if err != nil || peak > bound {
		t.Errorf("%s had %d MiB (%v), want at most %d", p.Name(), peak>>20, err, bound>>20)
	}
	t.Logf("%s had at most %d MiB", p.Name(), peak>>20)
}

// largeGroup is a group of so many messages of 30 kB.
func (g *target) largeGroup(t *testing.T, messages int) string {
	t.Helper()
	group, text := client.Group(), strings.Repeat("x", 30_000)
	for i := range messages {
		if err := g.Redis.Client.LPush(t.Context(), group, client.Data(uuidOf(i), text)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return group
}

// awaitCount waits until a counter has reached least.
func awaitCount(t *testing.T, what string, counter *atomic.Int64, least int64) {
	t.Helper()
	eventually(t, what, func() error {
		if n := counter.Load(); n < least {
			return fmt.Errorf("%d of %d", n, least)
		}
		return nil
	})
}

// attack runs f for each of n strangers until the test ends the attack.
func attack(t *testing.T, n int, f func(ctx context.Context, i int)) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(ctx, i) })
	}
	end = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(end)
	return end
}

// Many ask for pages of 8 MiB and read nothing of them.
func Test2_6_ReadersOfLargePagesThatTakeNothingCostNobodyElse(t *testing.T) {
	const strangers = 200
	g := newTarget(t)
	group := g.largeGroup(t, 300)
	end := attack(t, strangers, func(ctx context.Context, i int) {
		for ctx.Err() == nil {
			conn, err := stranger(ctx, g.addr, i)
			if err != nil {
				continue
			}
			fmt.Fprintf(conn, "GET /__/history?size=1000&position=%d&groupName=%s HTTP/1.1\r\nHost: edge\r\n\r\n", i%20, url.QueryEscape(group))
			select {
			case <-ctx.Done():
			case <-time.After(3 * time.Second):
			}
			_ = conn.Close()
		}
	})
	g.awaitMetric(t, `gotapi_edge_budget_used_bytes{part="pages"}`, 16<<20)
	g.wantService(t)
	end()
}

// Many resume in a group with much to catch up on, and read nothing.
func Test2_6_MembersThatResumeAndReadNothingCostNobodyElse(t *testing.T) {
	const strangers = 1600
	g := newTarget(t)
	group := g.largeGroup(t, 120)
	var joined atomic.Int64
	end := attack(t, 64, func(ctx context.Context, i int) {
		for n := i; n < strangers && ctx.Err() == nil; n += 64 {
			dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return stranger(ctx, addr, n)
			}}
			conn, _, err := dialer.DialContext(ctx, "ws://"+g.addr+group+"?after="+uuidOf(0), nil) //nolint:bodyclose // the dialer has read and closed it
			if err == nil {
				joined.Add(1)
				defer func() { _ = conn.Close() }() // the edge may have closed it
			}
		}
		<-ctx.Done()
	})
	awaitCount(t, "the strangers are in", &joined, strangers*9/10)
	victim := client.Join(t, g.addr, group+"?after="+uuidOf(117), client.Header("X-Api-Key", victimKey))
	for _, uuid := range []string{uuidOf(118), uuidOf(119)} {
		if got := victim.Next(); !strings.Contains(got.Data, uuid) {
			t.Errorf("the caller with a credential resumes and gets %.80s, want %s", got.Data, uuid)
		}
	}
	g.wantService(t)
	end()
}

// Many send parts of requests, and never the rest.
func Test2_6_BodiesOfStrangersThatNeverComeCostNobodyElse(t *testing.T) {
	const strangers, each = 100, 20
	g := newTarget(t)
	var open atomic.Int64
	end := attack(t, strangers, func(ctx context.Context, i int) {
		for range each {
			conn, err := stranger(ctx, g.addr, i)
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = fmt.Fprint(conn, "POST /room/1 HTTP/1.1\r\nHost: edge\r\nContent-Length: 32000\r\n\r\nhalf") // it may be refused
			open.Add(1)
		}
		<-ctx.Done()
	})
	awaitCount(t, "the strangers wait", &open, strangers*each)
	g.awaitMetric(t, `gotapi_edge_budget_refused_total{part="inputs"}`, 1)
	g.wantService(t)
	end()
}

// Frames that are no messages escaped the limits of messages.
func Test2_6_FramesThatAreNoMessagesAreLimited(t *testing.T) {
	const floods, refusals = 4, 50
	g := newTarget(t, "-limit-connection-messages", "50")
	pongs := strings.Repeat("\x8a\x80\x00\x00\x00\x00", 1000)
	fragments := "\x01\x80\x00\x00\x00\x00" + strings.Repeat("\x00\x80\x00\x00\x00\x00", 999)
	var ended atomic.Int64
	end := attack(t, floods, func(ctx context.Context, i int) {
		for ctx.Err() == nil {
			conn, err := g.upgrade(ctx, i)
			if err != nil { // a 503 of an upgrade that must wait, say
				continue
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			for frames := []byte([]string{pongs, fragments}[i%2]); err == nil; {
				if _, err = conn.Write(frames); i%2 == 1 {
					frames[0] = 0 // the message goes on
				}
			}
			stop()
			_ = conn.Close()
			ended.Add(1)
		}
	})
	awaitCount(t, "the floods are cut off", &ended, floods)
	g.awaitMetric(t, `gotapi_edge_limited_total{limit="messages"}`, floods*refusals)
	g.wantService(t)
	end()
}

// Messages that were not completed held up to 90 kB each.
func Test2_6_UnfinishedMessagesCostLittle(t *testing.T) {
	const strangers, each, bound = 100, 20, 160 << 20
	g := newTarget(t)
	message := append([]byte{0x81, 0x80 | 126, 32_000 >> 8, 32_000 & 0xff, 0, 0, 0, 0}, bytes.Repeat([]byte("x"), 31_000)...)
	var begun atomic.Int64
	end := attack(t, strangers, func(ctx context.Context, i int) {
		for range each {
			conn, err := g.upgrade(ctx, i)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }() // the edge may have closed it
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write(message) // it is not read when too many have begun
			begun.Add(1)
		}
		<-ctx.Done()
	})
	awaitCount(t, "the messages have begun", &begun, strangers*each)
	victim := client.Join(t, g.addr, client.Group(), client.Header("X-Api-Key", victimKey))
	victim.Text(client.Data("large", strings.Repeat("x", 20_000)))
	victim.Want(client.Ack("large"))
	g.wantService(t)
	wantMemory(t, g.Edges[0], bound)
	end()
}

// upgrade opens a WebSocket of a stranger.
func (g *target) upgrade(ctx context.Context, i int) (net.Conn, error) {
	conn, err := stranger(ctx, g.addr, i)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprint(conn, "GET /room/1 HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if err == nil { // nothing may follow before the answer
		var answer *http.Response
		if answer, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
			err = errors.New(answer.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// A flood in one group fills the queue for the hook before publishing, which is slow.
func Test2_2_AFloodAtTheHookCostsOtherGroupsNothing(t *testing.T) {
	const floods, publishers = 2, 40
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Millisecond):
			_, _ = io.WriteString(w, `{"action":"allow"}`)
		}
	}))
	t.Cleanup(slow.Close)
	g := newTarget(t, "-hook-before-url", slow.URL, "-hook-concurrency", "4", "-hook-queue", "64", "-hook-timeout", "5s")
	f, stop := &flood{codes: make(map[int]int)}, make(chan struct{})
	for range floods {
		f.begin(publishers, g.addr, client.Group(), "x", stop)
	}
	f.awaitRefusals(t, 1)
	g.wantService(t)
	close(stop)
	f.all.Wait()
	f.wantCodes(t, http.StatusOK, http.StatusTooManyRequests)
}

// Strangers make groups, which stay in Redis until their retention is over.
func Test2_2_StrangersMakeFewGroups(t *testing.T) {
	const allowed, strangers, tries = 5, 3, 20
	g := newTarget(t, "-limit-new-groups", fmt.Sprint(allowed))
	old := client.Group()
	client.Publish(t, g.addr, old, numbered(0)) // of 127.0.0.1
	prefix := client.Group()
	var made, refused atomic.Int64
	makeGroups := func(i int) {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return stranger(ctx, addr, i) }}
		defer transport.CloseIdleConnections()
		publish := func(group string, n int) (code int, again string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.addr+group, strings.NewReader(numbered(n)))
			if err != nil {
				return 0, ""
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return 0, ""
			}
			resp.Body.Close()
			return resp.StatusCode, resp.Header.Get("Retry-After")
		}
		for n := range tries {
			switch code, again := publish(fmt.Sprint(prefix, "/", i, "/", n), n); {
			case code == http.StatusOK:
				made.Add(1)
			case code == http.StatusTooManyRequests && again != "":
				refused.Add(1)
			default:
				t.Errorf("group %d of stranger %d: %d, Retry-After %q, want 200 or 429", n, i, code, again)
			}
		}
		if code, _ := publish(old, 1+i); code != http.StatusOK {
			t.Errorf("a group that exists: stranger %d gets %d, want 200", i, code)
		}
	}
	var all sync.WaitGroup
	for i := range strangers {
		all.Go(func() { makeGroups(i) })
	}
	all.Wait()
	// Time passes meanwhile, and so each may make a few more.
	keys, err := g.Redis.Client.Keys(t.Context(), prefix+"/*").Result()
	if n := int64(len(keys)); err != nil || n != made.Load() || n < strangers*allowed || n > strangers*(allowed+5) || refused.Load() == 0 {
		t.Errorf("%d groups were made, %d refused, %d are in Redis (%v); want %d or a few more for each of %d strangers",
			made.Load(), refused.Load(), n, err, allowed, strangers)
	}
	m := client.Join(t, g.addr, prefix+"/new") // of 127.0.0.1
	for i := range allowed {
		if code := tryPublish(g.addr, fmt.Sprint(prefix, "/mine/", i), numbered(0)); i < allowed-1 && code != http.StatusOK {
			t.Errorf("group %d of an address that made one: %d, want 200", i, code)
		}
	}
	m.Text(numbered(0))
	if uuid, code := m.Refusal(); uuid != uuidOf(0) || code != http.StatusTooManyRequests {
		t.Errorf("a new group over a WebSocket: %s is refused with %d, want 429", uuid, code)
	}
	g.wantService(t)
}

// Many begin a header of many small fields, and never end it.
func Test2_6_HeadersThatNeverEndCostNobodyElse(t *testing.T) {
	const strangers, each = 100, 50
	g := newTarget(t)
	var header strings.Builder
	header.WriteString("GET / HTTP/1.1\r\nHost: edge\r\n")
	for i := 0; header.Len() < 15<<10; i++ {
		fmt.Fprintf(&header, "%x:\r\n", i)
	}
	var begun, ended atomic.Int64
	end := attack(t, strangers, func(ctx context.Context, i int) {
		var all sync.WaitGroup
		defer all.Wait()
		for range each {
			conn, err := stranger(ctx, g.addr, i)
			if err != nil {
				t.Error(err)
				return
			}
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			_, _ = io.WriteString(conn, header.String()) // it may be cut off
			begun.Add(1)
			all.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				ended.Add(1)
			})
		}
	})
	awaitCount(t, "the headers have begun", &begun, strangers*each)
	g.wantService(t)
	awaitCount(t, "the connections end", &ended, strangers*each)
	end()
}
