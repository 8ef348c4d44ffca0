package room_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v1"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// BenchmarkFanOut measures what a delivery costs before the socket: position,
// frame, queue, and the writer with a system call that does nothing. One operation is one event.
func BenchmarkFanOut(b *testing.B) {
	for _, members := range []int{1, 100, 10_000} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("members=%d/batch=%d", members, batch), func(b *testing.B) {
				benchmarkFanOut(b, members, batch)
			})
		}
	}
}

func benchmarkFanOut(b *testing.B, members, batch int) {
	b.Helper()
	a := newAudience(b, members)
	events := make([]stream.Event, batch)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for n := 0; n < b.N; n += batch {
		a.deliver(events)
	}
	a.wait()
	cpu := cpuTime() - began
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/float64(members), "cpu-ns/delivery")
}

func TestADeliveryAllocatesNothingForEachMember(t *testing.T) {
	const members = 200
	a := newAudience(t, members)
	events := make([]stream.Event, 1)
	// Each is written before the next comes, so that no queue has to grow.
	got := testing.AllocsPerRun(100, func() {
		a.deliver(events)
		a.seen()
	})
	if got > members/4 {
		t.Errorf("%v allocations for one event to %d members", got, members)
	}
}

// audience is the members of one room, whose peers take everything at once.
type audience struct {
	rooms   *room.Registry
	outs    []*ws.Outbox
	seq     uint64
	payload []byte
}

func newAudience(tb testing.TB, members int) *audience {
	tb.Helper()
	r := roomtest.New(1, 10)
	g := room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), prometheus.NewRegistry()), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	r.Serve(g)
	go r.Run(tb.Context())
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	a := &audience{rooms: g, payload: make([]byte, 128)}
	flusher := ws.NewFlusher(prometheus.NewRegistry())
	tb.Cleanup(func() {
		a.wait()
		flusher.Wait()
		null.Close()
	})
	for i := range members {
		out := ws.NewOutbox(ws.Limits{Frames: 1 << 20, Bytes: 1 << 30}, flusher)
		c := g.NewConn(room.ConnOptions{Session: uint32(i + 1), Dialect: v1.Dialect, Out: out, Window: limits})
		if err := g.Join(tb.Context(), chat, c.NewMember(room.Start{})); err != nil {
			tb.Fatal(err)
		}
		out.Start(sink{null: null})
		a.outs = append(a.outs, out)
	}
	return a
}

// deliver fills events with the next messages, and has all members get them.
func (a *audience) deliver(events []stream.Event) {
	for i := range events {
		prev := stream.Link(a.seq)
		a.seq++
		events[i] = stream.Event{Kind: stream.Message, Seq: a.seq, Prev: prev, Link: stream.Link(a.seq), Payload: a.payload}
	}
	a.rooms.Deliver(1, 1, events)
}

// wait blocks until nothing is being written.
func (a *audience) wait() {
	for _, out := range a.outs {
		out.Wait()
	}
}

// seen blocks until all members have got all messages.
func (a *audience) seen() {
	for _, out := range a.outs {
		for {
			if n, _ := out.Written(); n >= a.seq {
				break
			}
			runtime.Gosched()
		}
	}
}

// cpuTime is what this process has used: the clock says little on a busy machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sink is a connection that takes everything at once.
type sink struct {
	net.Conn
	null *os.File
}

func (s sink) SyscallConn() (syscall.RawConn, error) { return s.null.SyscallConn() }
