package faults

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/internal/client"
	"github.com/gotapi/gotapi-ws/e2e/internal/faultproxy"
	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

// slowSystem is an edge and a history service whose Redis takes its time.
func slowSystem(t *testing.T, serviceArgs, edgeArgs []string) (edge, service *testbed.Process, link *faultproxy.Proxy) {
	t.Helper()
	redis := testbed.StartRedis(t, "--appendfsync", "no")
	link, err := faultproxy.Listen(testbed.FreeAddr(t), redis.Nodes[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	service = testbed.StartServiceAt(t, "redis://"+link.Addr+"/0", serviceArgs...)
	return testbed.StartEdgeAt(t, []string{service.GRPC}, edgeArgs...), service, link
}

// flood is publishers that go on until they are stopped, and counts their answers
// by code.
type flood struct {
	mu    sync.Mutex
	codes map[int]int
	all   sync.WaitGroup
}

func (f *flood) begin(n int, addr, group, text string, stop <-chan struct{}) {
	for p := range n {
		f.all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				code := tryPublish(addr, group, client.Data(fmt.Sprintf("flood-%d-%d", p, i), text))
				f.mu.Lock()
				f.codes[code]++
				f.mu.Unlock()
				if code == http.StatusOK {
					continue
				}
				select { // leaves the processors to the servers
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

// awaitRefusals waits until n publishes have been refused with 429.
func (f *flood) awaitRefusals(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d publishes are refused", n), func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.codes[http.StatusTooManyRequests] < n {
			return fmt.Errorf("%v", f.codes)
		}
		return nil
	})
}

// wantCodes checks the answers of a flood that has ended.
func (f *flood) wantCodes(t *testing.T, want ...int) {
	t.Helper()
	t.Logf("the flood was answered with %v", f.codes)
	for code, n := range f.codes {
		if !slices.Contains(want, code) {
			t.Errorf("%d publishes of the flood were answered with %d, want only %v", n, code, want)
		}
	}
}

var floodClient = &http.Client{
	Timeout:   client.Timeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 4096, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // a test's own server
}

// tryPublish returns 0 when there was no answer.
func tryPublish(addr, group, packet string) int {
	resp, err := floodClient.Post("http://"+addr+group, "", strings.NewReader(packet))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Two groups have more publishers than may wait. They fill all of the queue but the
// eighth that is kept for groups with fewer than four messages in it, and the others
// go on publishing. That eighth is 16 in each of the two lanes to Redis: room for
// the six others and four messages of each flood, if all are in one lane.
//
// The flood must be limited by Redis, and not by the processors, which it shares
// with the proxy that slows Redis down: 640 publishers and 2 ms made 80 ms of those
// 2, and seconds on a loaded machine, in which joins were refused.
func Test2_2_AFloodInSomeGroupsCostsTheOthersNothing(t *testing.T) {
	const floods, publishers, quiet, messages = 2, 130, 6, 10
	edge, _, link := slowSystem(t, []string{"-publish-queue", "256", "-publish-queue-group", "128"}, nil)
	type pair struct{ sender, watcher *client.Member }
	pairs := make([]pair, quiet)
	for i := range pairs {
		g := client.Group()
		pairs[i] = pair{client.Join(t, edge.Addr, g), client.Join(t, edge.Addr, g)}
	}
	link.Slow(50 * time.Millisecond)
	f, stop := &flood{codes: make(map[int]int)}, make(chan struct{})
	for range floods {
		f.begin(publishers, edge.Addr, client.Group(), "x", stop)
	}
	f.awaitRefusals(t, 1)
	var others sync.WaitGroup
	for _, p := range pairs {
		others.Go(func() {
			for i := range messages {
				p.sender.Text(numbered(i))
				p.sender.Want(client.Ack(uuidOf(i)))
				p.watcher.Want(numbered(i))
			}
		})
	}
	// A join asks Redis where the group's stream is, and is answered 503 if that takes
	// more than 2 s (section 1): on a machine that is busy enough, some are.
	eventually(t, "a group is joined during the flood", func() error {
		_, _, err := client.TryJoin(t, edge.Addr, client.Group())
		return err
	})
	others.Wait()
	close(stop)
	f.all.Wait()
	f.wantCodes(t, http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable)
}

// A Redis that is too slow for what comes in costs bounded memory: what does not
// fit is refused.
func Test2_2_ASlowRedisCostsBoundedMemory(t *testing.T) {
	const bound = 4 << 20
	args := []string{"-publish-queue-bytes", fmt.Sprint(bound)}
	edge, service, link := slowSystem(t, append(args, "-publish-queue-group-bytes", fmt.Sprint(bound/2)), args)
	g := client.Group()
	client.Publish(t, edge.Addr, g, numbered(0))
	link.Slow(2 * time.Millisecond)
	f, stop := &flood{codes: make(map[int]int)}, make(chan struct{})
	for range 4 {
		f.begin(150, edge.Addr, client.Group(), strings.Repeat("x", 30<<10), stop) // 18 MB at one time
	}
	f.awaitRefusals(t, 3000)
	close(stop)
	f.all.Wait()
	f.wantCodes(t, http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	// Beside the queues: Go itself, 600 connections with their requests, frames.
	for _, p := range []*testbed.Process{edge, service} {
		peak, err := testbed.PeakMemory(p.PID())
		if err != nil || peak > 128<<20 {
			t.Errorf("%s had %d MiB (%v), want at most 128", p.Name(), peak>>20, err)
		}
		t.Logf("%s: peak of %d MiB; answers %v", p.Name(), peak>>20, f.codes)
	}
	link.Heal()
	eventually(t, "all is well again", func() error {
		if a := client.Do(t, "POST", edge.Addr, g, numbered(1)); a.Code != http.StatusOK {
			return fmt.Errorf("%d %s", a.Code, a.Body)
		}
		return nil
	})
}
