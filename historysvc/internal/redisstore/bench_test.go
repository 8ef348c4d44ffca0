package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// waitingInBench is how many publications are on their way at once, as when
// some edges are busy.
const waitingInBench = 1024

// BenchmarkAcks stores messages of one group one after another, and many at
// once, on a master with a replica, with acks of the master and of the replica.
func BenchmarkAcks(b *testing.B) {
	master := redistest.Start(b, "--repl-diskless-sync-delay", "0")
	redistest.StartReplica(b, master)
	for _, replicas := range []int{0, 1} {
		for _, waiting := range []int{1, 64, waitingInBench} {
			b.Run(fmt.Sprintf("%dreplicas/%dwaiting", replicas, waiting), func(b *testing.B) {
				s := open(b, Options{URL: master.URL(), Acks: Acks{Replicas: replicas}}, nil)
				g := room(b)
				tokens := make(chan struct{}, waiting)
				var failed atomic.Int64
				b.ResetTimer()
				for i := range b.N {
					tokens <- struct{}{}
					u := strconv.Itoa(i)
					s.Submit(&history.Publication{
						Group: g + group.Name(fmt.Sprint("/", i%64)), Kind: stream.Message, UUID: u, Payload: []byte(dataPacket(u)),
						Done: func(r history.Receipt) {
							if r.Err != nil {
								failed.Add(1)
							}
							<-tokens
						},
					})
				}
				for range waiting {
					tokens <- struct{}{}
				}
				b.StopTimer()
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d of %d failed", n, b.N)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

// BenchmarkAppend stores messages of 128 bytes. Beside Go's figures it reports
// messages per second, and the CPU time that Redis spent on each.
func BenchmarkAppend(b *testing.B) {
	for _, groups := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%dgroups", groups), func(b *testing.B) {
			s := on(b, single, Options{}, nil)
			names := make([]group.Name, groups)
			for i := range names {
				names[i] = group.Name(fmt.Sprintf("%s/%d", room(b), i))
			}
			text := []byte(`{"type":2,"uuid":"","body":{"data":"` + strings.Repeat("x", 89) + `"}}`)
			tokens := make(chan struct{}, waitingInBench)
			var left sync.WaitGroup
			var failed error
			var mu sync.Mutex
			run := time.Now().UnixNano()
			before := redisCPU(b, s)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				tokens <- struct{}{}
				left.Add(1)
				s.Submit(&history.Publication{
					Group: names[i%groups], Kind: stream.Message, Payload: text,
					UUID: strconv.FormatInt(run+int64(i), 10),
					Done: func(r history.Receipt) {
						if r.Err != nil {
							mu.Lock()
							failed = r.Err
							mu.Unlock()
						}
						<-tokens
						left.Done()
					},
				})
			}
			left.Wait()
			b.StopTimer()
			if failed != nil {
				b.Fatal(failed)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric((redisCPU(b, s)-before)*1e6/float64(b.N), "redis-µs/msg")
		})
	}
}

// redisCPU is the CPU time that Redis has used, seconds.
func redisCPU(b *testing.B, s *Store) float64 {
	b.Helper()
	text, err := s.client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	info := parseInfo(text)
	user, err1 := strconv.ParseFloat(info["used_cpu_user"], 64)
	sys, err2 := strconv.ParseFloat(info["used_cpu_sys"], 64)
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return user + sys
}

func BenchmarkPage(b *testing.B) {
	s, g := benchGroup(b)
	for _, q := range []history.Query{{Size: 100}, {Position: -50, Size: 50}, {Size: 1000}} {
		b.Run(fmt.Sprintf("%d_from_%d", q.Size, q.Position), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if p, err := s.Page(b.Context(), g, q); err != nil || len(p.Texts) != q.Size {
					b.Fatal(len(p.Texts), err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s, g := benchGroup(b)
	b.Run("100_after_uuid", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			got, err := s.Read(b.Context(), g, history.Start{AfterUUID: "u1900"})
			if err != nil || len(got.Events) != 99 {
				b.Fatal(len(got.Events), err)
			}
		}
	})
	b.Run("1000_from_the_beginning", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			got, err := s.Read(b.Context(), g, history.Start{})
			if err != nil || len(got.Events) != readItems {
				b.Fatal(len(got.Events), err)
			}
		}
	})
}

// BenchmarkRecall recalls messages of one list, here and there. Beside Go's
// figures it reports the time that Redis spent inside commands.
func BenchmarkRecall(b *testing.B) {
	const list = 10_000
	s, g := on(b, single, Options{}, nil), room(b)
	uuid := func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", i/list, i*7919%list) }
	inside := 0.0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%list == 0 {
			b.StopTimer()
			fillBench(b, s, g, list, func(n int) string { return uuid(i + n) })
			b.StartTimer()
			inside -= scriptTime(b, s)
		}
		if err := s.Recall(b.Context(), g, uuid(i), history.Limit{}); err != nil {
			b.Fatal(err)
		}
		if i%list == list-1 || i == b.N-1 {
			inside += scriptTime(b, s)
		}
	}
	b.ReportMetric(inside/float64(b.N), "redis-µs/op")
}

// scriptTime is how long Redis has spent in scripts, microseconds.
func scriptTime(b *testing.B, s *Store) float64 {
	b.Helper()
	text, err := s.client.Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	var calls, usec float64
	if _, err := fmt.Sscanf(parseInfo(text)["cmdstat_evalsha"], "calls=%g,usec=%g", &calls, &usec); err != nil {
		b.Fatal(err)
	}
	return usec
}

// fillBench stores n messages with the uuids 0 to n-1.
func fillBench(b *testing.B, s *Store, g group.Name, n int, uuid func(int) string) {
	b.Helper()
	for from := 0; from < n; from += 1000 {
		var answers []<-chan history.Receipt
		for i := from; i < min(from+1000, n); i++ {
			answers = append(answers, submitAsync(s, g, uuid(i), dataPacket(uuid(i))))
		}
		for _, a := range answers {
			if r := wait(b, a); r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
}

func benchGroup(b *testing.B) (*Store, group.Name) {
	b.Helper()
	s, g := on(b, single, Options{}, nil), room(b)
	fillBench(b, s, g, 2000, func(i int) string { return fmt.Sprintf("u%d", i) })
	return s, g
}

// BenchmarkDecodePayload reads what append.lua puts on the bus for 16 messages of
// 128 bytes: one operation is one payload.
func BenchmarkDecodePayload(b *testing.B) {
	payload := fmt.Appendf(nil, "M%s%016d%s%s", formatEpoch(1<<60), 41, "\x00\x00\x00\x07", "\x00\x00\x00\x08")
	for i := range uint64(16) {
		payload = appendPacketHead(payload, "\x00\x00\x00\x08", stream.Message, stream.Origin{Edge: 1 << 60, ID: i}, 128)
		payload = append(payload, make([]byte, 128)...)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, events, err := decodePayload(payload); err != nil || len(events) != 16 {
			b.Fatal(len(events), err)
		}
	}
}
