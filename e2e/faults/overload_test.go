package faults

import (
	"fmt"
	"net/http"
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

// flood is publishers that stop only when they are told to, and their answers,
// counted by code.
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
				if code != http.StatusOK {
					time.Sleep(10 * time.Millisecond) // this machine has other things to do
				}
			}
		})
	}
}

var floodClient = &http.Client{
	Timeout:   client.Timeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 4096},
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

// Eight groups have more publishers than may wait; ten others go on as if there
// was nothing.
func Test2_2_AFloodInSomeGroupsCostsTheOthersNothing(t *testing.T) {
	const quiet, messages = 10, 15
	edge, _, link := slowSystem(t, []string{"-publish-queue", "512", "-publish-queue-group", "64"}, nil)
	link.Slow(2 * time.Millisecond)
	f, stop := &flood{codes: make(map[int]int)}, make(chan struct{})
	for range 8 {
		f.begin(80, edge.Addr, client.Group(), "x", stop)
	}
	eventually(t, "some of the flood is refused", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.codes[http.StatusTooManyRequests] == 0 {
			return fmt.Errorf("%v", f.codes)
		}
		return nil
	})
	var others sync.WaitGroup
	for range quiet {
		g := client.Group()
		sender, watcher := client.Join(t, edge.Addr, g), client.Join(t, edge.Addr, g)
		others.Go(func() {
			for i := range messages {
				sender.Text(numbered(i))
				sender.Want(client.Ack(uuidOf(i)))
				watcher.Want(numbered(i))
			}
		})
	}
	others.Wait()
	close(stop)
	f.all.Wait()
	for code, n := range f.codes {
		switch code {
		case http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		default:
			t.Errorf("%d publishes of the flood were answered with %d, want 200, 429 or 503", n, code)
		}
	}
	t.Logf("the flood was answered with %v", f.codes)
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
	eventually(t, "many are refused", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.codes[http.StatusTooManyRequests] < 3000 {
			return fmt.Errorf("%v", f.codes)
		}
		return nil
	})
	close(stop)
	f.all.Wait()
	for code, n := range f.codes {
		switch code {
		case http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			t.Errorf("%d publishes were answered with %d", n, code)
		}
	}
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
