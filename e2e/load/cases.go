package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

type result struct {
	count   int64 // of what the case counts
	elapsed time.Duration
	cpu     usage
	note    string
}

type loadCase struct {
	name string
	run  func(context.Context, *servers) (result, error)
}

func cases(d time.Duration, idle int) []loadCase {
	return []loadCase{
		{"rooms: 100 of 10, 16 unacked", saturate(d, 100, 10, 16, false)},
		{"big room: 1 of 500, deliveries", saturate(d, 1, 500, 16, true)},
		{"pairs: 1000 of 2, 4 unacked", saturate(d, 1000, 2, 4, false)},
		{"latency: 1000/s, 100 of 10", fixedRate(d, 100, 10, 1000)},
		{"http: history page of 100", historyPages(d)},
		{"http: publish, keep-alive", httpPublish(d)},
		{"recall: in a list of 10000", recalls},
		{"idle: connections in 1000 groups", idleConnections(d, idle)},
	}
}

// window measures CPU and a count over d, after a second of warm-up.
func window(ctx context.Context, s *servers, d time.Duration, count func() int64) (result, error) {
	if err := sleep(ctx, time.Second); err != nil {
		return result{}, err
	}
	cpu0, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	start, n0 := time.Now(), count()
	if err := sleep(ctx, d); err != nil {
		return result{}, err
	}
	n1, elapsed := count(), time.Since(start)
	cpu1, err := s.cpu()
	if n1 == n0 && err == nil {
		err = errors.New("nothing got through")
	}
	return result{count: n1 - n0, elapsed: elapsed, cpu: cpu1.minus(cpu0)}, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// saturate has the first member of every group publish as fast as unacked
// allows, and counts acks, or deliveries to the others.
func saturate(d time.Duration, groups, size, unacked int, deliveries bool) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		fleet, err := openRooms(ctx, s.addr, groups, size, unacked)
		if err != nil {
			return result{}, err
		}
		defer fleet.close()
		fleet.startReaders()
		var acked atomic.Int64
		pubCtx, stop := context.WithCancel(ctx)
		var publishers sync.WaitGroup
		for _, r := range fleet.rooms {
			publishers.Go(func() { _ = r.members[0].publish(pubCtx, r.name, unacked, &acked) })
		}
		count := acked.Load
		if deliveries {
			count = fleet.received
		}
		res, err := window(ctx, s, d, count)
		stop()
		publishers.Wait()
		return res, err
	}
}

// fixedRate publishes rate messages per second over all groups and measures
// from the send to the arrival at the second member of the group.
func fixedRate(d time.Duration, groups, size, rate int) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		fleet, err := openRooms(ctx, s.addr, groups, size, rate)
		if err != nil {
			return result{}, err
		}
		defer fleet.close()
		var sent sync.Map
		var mu sync.Mutex
		var latencies []time.Duration
		var acked atomic.Int64
		for _, r := range fleet.rooms {
			r.members[0].seen = func(_ string, ack bool) {
				if ack {
					acked.Add(1)
				}
			}
			r.members[0].acks = nil
			r.members[1].seen = func(uuid string, _ bool) {
				if at, ok := sent.LoadAndDelete(uuid); ok {
					mu.Lock()
					latencies = append(latencies, time.Since(at.(time.Time)))
					mu.Unlock()
				}
			}
		}
		fleet.startReaders()
		pubCtx, stop := context.WithCancel(ctx)
		var publisher sync.WaitGroup
		publisher.Go(func() {
			start := time.Now()
			for n := 0; pubCtx.Err() == nil; n++ {
				due := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if sleep(pubCtx, time.Until(due)) != nil {
					return
				}
				uuid := fmt.Sprintf("rate-%d", n)
				sent.Store(uuid, time.Now())
				if fleet.rooms[n%groups].members[0].conn.WriteMessage(websocket.TextMessage, dataPacket(uuid)) != nil {
					return
				}
			}
		})
		res, err := window(ctx, s, d, acked.Load)
		stop()
		publisher.Wait()
		mu.Lock()
		defer mu.Unlock()
		res.note = percentiles(latencies)
		return res, err
	}
}

func percentiles(l []time.Duration) string {
	if len(l) == 0 {
		return "no latencies"
	}
	slices.Sort(l)
	at := func(p float64) time.Duration { return l[int(p*float64(len(l)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("delivery p50 %v p99 %v max %v", at(0.5), at(0.99), at(1))
}

var httpClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func post(target, contentType, body string) error {
	resp, err := httpClient.Post(target, contentType, strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", target, resp.Status)
	}
	return nil
}

// fill stores n messages named fill-0.. in the group.
func fill(s *servers, group string, n int) error {
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				if err := post("http://"+s.addr+group, "", string(dataPacket(fmt.Sprintf("fill-%d", i)))); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// clients runs call in a loop, n at a time, and counts successes.
func clients(ctx context.Context, s *servers, d time.Duration, n int, call func(client, n int) error) (result, error) {
	var done atomic.Int64
	runCtx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for c := range n {
		wg.Go(func() {
			for n := 0; runCtx.Err() == nil; n++ {
				if err := call(c, n); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	res, err := window(ctx, s, d, done.Load)
	stop()
	wg.Wait()
	select {
	case callErr := <-errs:
		err = errors.Join(err, callErr)
	default:
	}
	return res, err
}

func historyPages(d time.Duration) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		if err := fill(s, "/load/history", 1000); err != nil {
			return result{}, err
		}
		form := url.Values{"groupName": {"/load/history"}, "size": {"100"}, "position": {"0"}}.Encode()
		return clients(ctx, s, d, 16, func(int, int) error {
			return post("http://"+s.addr+"/__/history", "application/x-www-form-urlencoded", form)
		})
	}
}

func httpPublish(d time.Duration) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		return clients(ctx, s, d, 64, func(c, n int) error {
			return post(fmt.Sprintf("http://%s/load/http/%d", s.addr, c), "", string(dataPacket(fmt.Sprintf("http-%d", n))))
		})
	}
}

func recalls(_ context.Context, s *servers) (result, error) {
	const list = 10000
	if err := fill(s, "/load/recall", list); err != nil {
		return result{}, err
	}
	const n = 2000
	cpu0, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	for i := range n {
		form := url.Values{"groupName": {"/load/recall"}, "uuid": {fmt.Sprintf("fill-%d", i*list/n)}}.Encode()
		if err := post("http://"+s.addr+"/__/cancel", "application/x-www-form-urlencoded", form); err != nil {
			return result{}, err
		}
	}
	elapsed := time.Since(start)
	cpu1, err := s.cpu()
	return result{count: n, elapsed: elapsed, cpu: cpu1.minus(cpu0)}, err
}

func idleConnections(d time.Duration, n int) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		before, err := s.rss()
		if err != nil {
			return result{}, err
		}
		fleet, err := openRooms(ctx, s.addr, 1000, n/1000, 0)
		if err != nil {
			return result{}, err
		}
		defer fleet.close()
		fleet.startReaders()
		// Two garbage collections (at most two minutes apart) would take too
		// long: what stays after the dials is close to what stays for good.
		if err := sleep(ctx, 5*time.Second); err != nil {
			return result{}, err
		}
		after, err := s.rss()
		if err != nil {
			return result{}, err
		}
		res, err := window(ctx, s, d, func() int64 { return time.Now().UnixMilli() })
		if err != nil {
			return res, err
		}
		core := func(used time.Duration) float64 { return 100 * used.Seconds() / res.elapsed.Seconds() }
		res.note = fmt.Sprintf("%.1f kB of edge RSS each; idle CPU of a core: edge %.2f %%, historysvc %.2f %%, redis %.2f %% (counts are milliseconds)",
			float64(after-before)/float64(n)/1024, core(res.cpu.edge), core(res.cpu.historysvc), core(res.cpu.redis))
		return res, nil
	}
}
