package room_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/gotapi/gotapi-ws/edge/internal/dialect/v1"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/group"
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

func benchmarkFanOut(b *testing.B, members, batch int, dialects ...room.Dialect) {
	b.Helper()
	a := newAudience(b, members, dialects...)
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
	flusher *ws.Flusher
	null    *os.File
}

// newAudience makes members that speak dialects in turns; v1 by default.
func newAudience(tb testing.TB, members int, dialects ...room.Dialect) *audience {
	tb.Helper()
	if len(dialects) == 0 {
		dialects = []room.Dialect{v1.Dialect}
	}
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
	a.flusher, a.null = flusher, null
	tb.Cleanup(func() {
		a.wait()
		flusher.Wait()
		null.Close()
	})
	for i := range members {
		out := ws.NewOutbox(ws.Limits{Frames: 1 << 20, Bytes: 1 << 30}, flusher)
		c := g.NewConn(room.ConnOptions{Session: uint32(i + 1), Dialect: dialects[i%len(dialects)], Out: out, Window: limits})
		if err := g.Join(tb.Context(), chat, c.NewMember(room.Start{})); err != nil {
			tb.Fatal(err)
		}
		out.Start(sink{null: null})
		a.outs = append(a.outs, out)
	}
	return a
}

// BenchmarkMixedFanOut is BenchmarkFanOut for a room of 100 members, of which each second
// one speaks a dialect with shares.
func BenchmarkMixedFanOut(b *testing.B) {
	for name, dialects := range map[string][]room.Dialect{
		"v1": {v1.Dialect}, "plain": {plain{}}, "v1+plain": {v1.Dialect, plain{}},
	} {
		b.Run(name, func(b *testing.B) { benchmarkFanOut(b, 100, 4, dialects...) })
	}
}

// BenchmarkMemberships measures what a membership needs of the heap, of 1,000
// connections in 100 groups each: the same for all, or each its own. One operation is
// one membership.
func BenchmarkMemberships(b *testing.B) {
	const conns, groups = 1000, 100
	for _, shared := range []bool{true, false} {
		b.Run(fmt.Sprint("shared=", shared), func(b *testing.B) {
			var used int64
			for b.Loop() {
				used += memberships(b, conns, groups, shared)
			}
			b.ReportMetric(float64(used)/float64(b.N)/conns/groups, "B/member")
		})
	}
}

func memberships(b *testing.B, conns, groups int, shared bool) (used int64) {
	b.Helper()
	a := newAudience(b, 0)
	r := make(ready, 1)
	a.rooms = room.New(r, roomtest.Edge, limit.NewBudget(quota.MemoryLimit(), prometheus.NewRegistry()), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	go r.serve(a.rooms)
	defer close(r)
	before := heap()
	members := make([]*room.Member, 0, conns*groups)
	for i := range conns {
		out := ws.NewOutbox(limits, a.flusher)
		out.Start(sink{null: a.null})
		a.outs = append(a.outs, out)
		c := a.rooms.NewConn(room.ConnOptions{Session: uint32(i + 1), Dialect: plain{}, Out: out, Window: limits})
		for n := range groups {
			if !shared {
				n += i * groups
			}
			m := c.NewMember(room.Start{})
			if err := a.rooms.Join(b.Context(), group.Name(fmt.Sprint("/room/", n)), m); err != nil {
				b.Fatal(err)
			}
			members = append(members, m)
		}
	}
	a.wait()
	used = heap() - before
	runtime.KeepAlive(members)
	return used
}

// ready is a relay that attaches every group at once, and knows nothing more.
type ready chan uint32

func (r ready) serve(rooms *room.Registry) {
	for channel := range r {
		rooms.Attached(channel, stream.Position{}, false, nil)
	}
}

var channels atomic.Uint32

func (r ready) Attach(group.Name, *stream.Position) uint32 {
	channel := channels.Add(1)
	r <- channel
	return channel
}

func (ready) Detach(uint32) {}

func (ready) Read(context.Context, group.Name, relay.Start) (relay.Batch, error) {
	return relay.Batch{}, nil
}

// heap returns how much of the heap is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
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
