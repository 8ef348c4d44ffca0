package main

import (
	"cmp"
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

type loadCase struct {
	name  string
	run   func(context.Context, *servers) (result, error)
	edges int // 0: one
}

func cases(d time.Duration, idle int) []loadCase {
	return []loadCase{
		{name: "rooms: 100 of 10, 16 unacked", run: saturate(d, shape{groups: 100, size: 10, unacked: 16}, acks)},
		{name: "big room: 1 of 500, deliveries", run: saturate(d, shape{groups: 1, size: 500, unacked: 16}, deliveries)},
		{name: "pairs: 1000 of 2, 4 unacked", run: saturate(d, shape{groups: 1000, size: 2, unacked: 4}, acks)},
		{name: "latency: 1000/s, 100 of 10", run: fixedRate(d, 100, 10, 1000)},
		{name: "http: history page of 100", run: historyPages(d, 1, reading)},
		{name: "http: history page, 16 groups", run: historyPages(d, 16, reading)},
		{name: "http: history page, changing", run: historyPages(d, 16, changing)},
		{name: "http: publish, keep-alive", run: httpPublish(d)},
		{name: "http: batches of 100, one group", run: httpBatches(d, 1)},
		{name: "http: batches of 100, 100 groups", run: httpBatches(d, batchLines)},
		{name: "recall: in a list of 10000", run: recalls},
		{name: "idle: connections in 1000 groups", run: idleConnections(d, idle)},
		{name: "fair: 1 of 15000 at 50/s, deliveries", run: beside(d, 15_000, 50)},
	}
}

// curves show how the cost grows with one thing at a time.
func curves(d time.Duration) (all []loadCase) {
	add := func(name string, of shape, what counted) {
		all = append(all, loadCase{name: name, run: saturate(d, of, what)})
	}
	add("members: 1 of 1, acked", shape{groups: 1, size: 1, unacked: 16}, acks)
	for _, n := range []int{2, 10, 100, 1000, 10_000} {
		add(fmt.Sprintf("members: 1 of %d, deliveries", n), shape{groups: 1, size: n, unacked: 16}, deliveries)
	}
	for _, n := range []int{1, 10, 100, 1000, 8000} {
		add(fmt.Sprintf("groups: %d of 2, 4 unacked", n), shape{groups: n, size: 2, unacked: 4}, acks)
	}
	for _, n := range []int{64, 128, 1 << 10, 8 << 10, 32 << 10} {
		add(fmt.Sprintf("bytes: %d, 100 of 10", n), shape{groups: 100, size: 10, unacked: 4, bytes: n}, acks)
	}
	for _, n := range []int{1000, 10_000, 50_000} {
		all = append(all, loadCase{
			name: fmt.Sprintf("groups: %d of 2, 1 unacked, %d edges", n, crowdEdges),
			run:  crowdOf(d, shape{groups: n, size: 2, unacked: 1}), edges: crowdEdges,
		})
	}
	for _, n := range []int{1000, 5000, 10_000, 15_000} {
		all = append(all, loadCase{name: fmt.Sprintf("connections: %d", n), run: idleConnections(d, n)})
	}
	for _, n := range []int{15_000, 50_000, 100_000} {
		all = append(all, loadCase{
			name: fmt.Sprintf("connections: %d, %d edges", n, crowdEdges),
			run:  crowdOf(d, shape{groups: n / 10, size: 10}), edges: crowdEdges,
		})
	}
	return all
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

// shape is what the groups of a case look like.
type shape struct {
	groups, size int // members of each group
	unacked      int // of the publisher of each group
	bytes        int // of a packet; 0: packetBytes
}

// counted is what a case counts.
type counted bool

const (
	acks       counted = false
	deliveries counted = true // to others than the sender
)

// saturate has the first member of every group publish as fast as unacked
// allows.
func saturate(d time.Duration, of shape, what counted) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		fleet, err := openRooms(ctx, s.addr, of.groups, of.size, of.unacked)
		if err != nil {
			return result{}, err
		}
		defer fleet.close()
		fleet.startReaders()
		var acked atomic.Int64
		pubCtx, stop := context.WithCancel(ctx)
		var publishers sync.WaitGroup
		for _, r := range fleet.rooms {
			publishers.Go(func() {
				_ = r.members[0].publish(pubCtx, r.name, of.unacked, cmp.Or(of.bytes, packetBytes), &acked)
			})
		}
		count := acked.Load
		if what == deliveries {
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
		paced := pace(ctx, fleet, rate)
		res, err := window(ctx, s, d, paced.acked.Load)
		res.more = paced.stop().figures("delivery")
		return res, err
	}
}

// pacer publishes at a rate and notes how long messages take.
type pacer struct {
	acked     atomic.Int64
	sent      sync.Map // uuid -> time.Time
	cancel    context.CancelFunc
	publisher sync.WaitGroup

	mu        sync.Mutex
	latencies []time.Duration
}

// pace starts to publish rate messages per second, to one group after another.
func pace(ctx context.Context, fleet *fleet, rate int) *pacer {
	p := &pacer{}
	for _, r := range fleet.rooms {
		r.members[0].seen = func(_ string, ack bool) {
			if ack {
				p.acked.Add(1)
			}
		}
		r.members[0].acks = nil
		r.members[1].seen = func(uuid string, _ bool) { p.arrived(uuid) }
	}
	fleet.startReaders()
	ctx, p.cancel = context.WithCancel(ctx)
	p.publisher.Go(func() {
		start := time.Now()
		for n := 0; ctx.Err() == nil; n++ {
			due := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
			if sleep(ctx, time.Until(due)) != nil {
				return
			}
			r := fleet.rooms[n%len(fleet.rooms)]
			uuid := fmt.Sprintf("rate-%d", n)
			p.sent.Store(uuid, time.Now())
			if r.members[0].conn.WriteMessage(websocket.TextMessage, dataPacket(uuid)) != nil {
				return
			}
		}
	})
	return p
}

func (p *pacer) arrived(uuid string) {
	at, ok := p.sent.LoadAndDelete(uuid)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latencies = append(p.latencies, time.Since(at.(time.Time)))
}

// stop ends the publishing and returns how long messages took.
func (p *pacer) stop() latencies {
	p.cancel()
	p.publisher.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return latenciesOf(p.latencies)
}

// beside has one large group, of size members, get so many messages per second,
// and counts the deliveries; a process of its own, which does not wait behind
// all those members itself, measures how long others take meanwhile.
func beside(d time.Duration, size, largeRate int) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		large, err := openRoomsAt(ctx, s.addr, "/large", 1, size, largeRate)
		if err != nil {
			return result{}, err
		}
		defer large.close()
		crowd := pace(ctx, large, largeRate)
		others := make(chan latencies, 1)
		failed := make(chan error, 1)
		probeCtx, stopProbe := context.WithTimeout(ctx, d+time.Second)
		defer stopProbe()
		go func() {
			l, err := probeElsewhere(probeCtx, s.addr)
			failed <- err
			others <- l
		}()
		res, err := window(ctx, s, d, large.received)
		err = errors.Join(err, <-failed)
		res.more = slices.Concat(crowd.stop().figures("delivery"), (<-others).figures("meanwhile in 100 groups of 10 at 100/s"))
		return res, err
	}
}

// httpClient takes pages as they are: Go's client asks for gzip by default, whose cost hides that of the page.
var httpClient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

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

// pageReader is what the clients of historyPages do.
type pageReader bool

const (
	reading pageReader = false
	// They publish before each page, so that none is as the one before. The price of
	// that publish is part of the figure.
	changing pageReader = true
)

// historyPages has 16 clients read pages of so many groups: of one, so that all want
// the same, or each of a group of its own.
func historyPages(d time.Duration, groups int, how pageReader) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		names, forms := make([]string, groups), make([]string, groups)
		for g := range groups {
			names[g] = fmt.Sprintf("/load/history/%d", g)
			if err := fill(s, names[g], 1000); err != nil {
				return result{}, err
			}
			forms[g] = url.Values{"groupName": {names[g]}, "size": {"100"}, "position": {"0"}}.Encode()
		}
		return clients(ctx, s, d, 16, func(c, i int) error {
			g := c % groups
			if how == changing {
				if err := post("http://"+s.addr+names[g], "", string(dataPacket(fmt.Sprintf("change-%d", i)))); err != nil {
					return err
				}
			}
			return post("http://"+s.addr+"/__/history", "application/x-www-form-urlencoded", forms[g])
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

// batchLines is how many packets a batch has.
const batchLines = 100

// httpBatches has 16 clients publish batches, each over so many groups. It counts packets.
func httpBatches(d time.Duration, groups int) func(context.Context, *servers) (result, error) {
	return func(ctx context.Context, s *servers) (result, error) {
		res, err := clients(ctx, s, d, 16, func(c, n int) error {
			var lines strings.Builder
			for i := range batchLines {
				group := fmt.Sprintf("/load/batch/%d/%d", c, i%groups)
				fmt.Fprintf(&lines, "{\"group\":%q,\"packet\":%q}\n", group, dataPacket(fmt.Sprintf("batch-%d-%d", n, i)))
			}
			return postBatch("http://"+s.addr+"/__/publish", lines.String())
		})
		res.count *= batchLines
		return res, err
	}
}

// postBatch publishes lines, all of which must be stored.
func postBatch(target, lines string) error {
	resp, err := httpClient.Post(target, "application/x-ndjson", strings.NewReader(lines))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if stored := strings.Count(string(answer), `"stored":true`); stored != strings.Count(lines, "\n") {
		return fmt.Errorf("%s answered %s, %d stored: %.300s", target, resp.Status, stored, answer)
	}
	return nil
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

// idleAfter is how long after the dials connections count as idle. Two garbage
// collections (at most two minutes apart) would take too long: what stays after the
// dials is close to what stays for good.
const idleAfter = 5 * time.Second

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
		return whileIdle(ctx, s, d, before, n)
	}
}

// whileIdle measures what n idle connections take; before is the edges' memory
// without them. What it counts is milliseconds.
func whileIdle(ctx context.Context, s *servers, d time.Duration, before int64, n int) (result, error) {
	if err := sleep(ctx, idleAfter); err != nil {
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
	res.more = []figure{
		{"edge RSS of a connection, kB", float64(after-before) / float64(n) / 1024},
		{"edge, % of a core", core(res.cpu.edge)},
		{"historysvc, % of a core", core(res.cpu.historysvc)},
		{"redis, % of a core", core(res.cpu.redis)},
	}
	return res, nil
}
