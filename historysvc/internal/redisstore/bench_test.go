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
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/redisconn"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// waitingInBench is how many publications are on their way at once, as when
// some edges are busy.
const waitingInBench = 1024

// BenchmarkAcks stores messages of some groups one after another, and many at once, with
// acks of a master, of its replica, too, and of disks. The last need STORE=redis8 or valkey.
func BenchmarkAcks(b *testing.B) {
	for _, tt := range []struct {
		name, appendfsync string
		acks              Acks
	}{
		{"master", "", Acks{}},
		{"replica", "", Acks{Replicas: 1}},
		{"fsync-always", "always", Acks{Fsync: true}},
		{"fsync-always-replica", "always", Acks{Fsync: true, Replicas: 1}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			args := []string{"--repl-diskless-sync-delay", "0"}
			if tt.appendfsync != "" {
				args = append(args, "--appendonly", "yes", "--appendfsync", tt.appendfsync)
			}
			master := redistest.Start(b, args...)
			if answer, err := master.Do("WAITAOF 0 0 0"); err != nil || tt.acks.Fsync && strings.HasPrefix(answer, "-") {
				b.Skip("this server has no WAITAOF")
			}
			redistest.StartReplica(b, master, args...)
			for _, waiting := range []int{1, 8, 64, waitingInBench} {
				b.Run(strconv.Itoa(waiting), func(b *testing.B) { benchAcks(b, master.URL(), tt.acks, waiting) })
			}
		})
	}
}

func benchAcks(b *testing.B, url string, acks Acks, waiting int) {
	s := open(b, Options{Connection: Connection{URL: url, Acks: acks}}, nil)
	g := room(b)
	tokens := make(chan struct{}, waiting)
	var failed atomic.Int64
	b.ResetTimer()
	for i := range b.N {
		tokens <- struct{}{}
		u := strconv.Itoa(i)
		s.Submit(&history.Publication{
			Group: g + group.Name(fmt.Sprint("/", i%64)), Kind: stream.Message, UUID: u, Payload: []byte(dataPacket(u)),
			From: senderFunc(func(r history.Receipt) {
				if r.Err != nil {
					failed.Add(1)
				}
				<-tokens
			}),
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
}

// senderFunc is a history.Sender.
type senderFunc func(history.Receipt)

func (f senderFunc) Settle(r history.Receipt) { f(r) }

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
					From: senderFunc(func(r history.Receipt) {
						if r.Err != nil {
							mu.Lock()
							failed = r.Err
							mu.Unlock()
						}
						<-tokens
						left.Done()
					}),
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
	text, err := s.conn.Client().Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	info := redisconn.ParseInfo(text)
	user, err1 := strconv.ParseFloat(info["used_cpu_user"], 64)
	sys, err2 := strconv.ParseFloat(info["used_cpu_sys"], 64)
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	return user + sys
}

func BenchmarkPage(b *testing.B) {
	s, g := benchGroup(b)
	for _, q := range []history.Query{
		{Size: 100},
		{Size: 100, Versioned: true},
		{Position: -50, Size: 50, Versioned: true},
		{Size: 1000, Versioned: true},
		{Size: 100, Versioned: true, Meta: true},
		{Position: -50, Size: 50, Versioned: true, Meta: true},
		{Size: 1000, Versioned: true, Meta: true},
	} {
		b.Run(fmt.Sprintf("%d_from_%d_versioned_%v_meta_%v", q.Size, q.Position, q.Versioned, q.Meta), func(b *testing.B) {
			b.ReportAllocs()
			before := redisCPU(b, s)
			for range b.N {
				if p, err := s.Page(b.Context(), g, q); err != nil || len(p.Texts) != q.Size {
					b.Fatal(len(p.Texts), err)
				}
			}
			b.ReportMetric((redisCPU(b, s)-before)*1e6/float64(b.N), "redis-µs/op")
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
	b.Run("256_from_the_beginning", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			got, err := s.Read(b.Context(), g, history.Start{})
			if err != nil || len(got.Events) != 256 {
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
		if err := s.Recall(b.Context(), g, uuid(i), history.Limit{}, stream.Author{}); err != nil {
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
	text, err := s.conn.Client().Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	var calls, usec float64
	if _, err := fmt.Sscanf(redisconn.ParseInfo(text)["cmdstat_evalsha"], "calls=%g,usec=%g", &calls, &usec); err != nil {
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

// BenchmarkLargePage reads the largest page. Beside Go's figures it reports the CPU
// time that Redis spent on each.
func BenchmarkLargePage(b *testing.B) {
	const list = 10_000
	s, g := on(b, single, Options{}, nil), room(b)
	fillBench(b, s, g, list, func(i int) string { return fmt.Sprintf("u%d", i) })
	for _, q := range []history.Query{{Size: list}, {Size: list, Meta: true}, {Before: "u9999", Size: list}, {After: "u0", Size: list}} {
		b.Run(fmt.Sprintf("before_%s_after_%s_meta_%v", q.Before, q.After, q.Meta), func(b *testing.B) {
			before := redisCPU(b, s)
			for range b.N {
				if p, err := s.Page(b.Context(), g, q); err != nil || len(p.Texts) < list-1 {
					b.Fatal(len(p.Texts), err)
				}
			}
			b.ReportMetric((redisCPU(b, s)-before)*1e6/float64(b.N), "redis-µs/op")
		})
	}
}
