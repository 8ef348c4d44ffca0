package room_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/room"
	"github.com/gotapi/gotapi-ws/edge/internal/room/roomtest"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
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
	r := roomtest.New(1, 10)
	g := room.New(r, roomtest.Edge, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	r.SetHandler(g)
	go r.Run(b.Context())
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	flusher := ws.NewFlusher(prometheus.NewRegistry())
	var outs []*ws.Outbox
	for i := range members {
		out := ws.NewOutbox(ws.Limits{Frames: 1 << 20, Bytes: 1 << 30}, flusher)
		m := room.NewMember(uint32(i+1), out, "", func() {})
		if err := g.Join(b.Context(), chat, m); err != nil {
			b.Fatal(err)
		}
		out.Start(sink{null: null})
		outs = append(outs, out)
	}
	events := make([]stream.Event, batch)
	payload := make([]byte, 128)
	seq := uint64(0)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for n := 0; n < b.N; n += batch {
		for i := range events {
			seq++
			events[i] = stream.Event{
				Kind: stream.Message, Seq: seq, Prev: stream.Link(seq - 1), Link: stream.Link(seq), Payload: payload,
			}
		}
		if seq == uint64(batch) {
			events[0].Prev = 0
		}
		g.Deliver(1, 1, events)
	}
	for _, out := range outs {
		out.Wait()
	}
	cpu := cpuTime() - began
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/float64(members), "cpu-ns/delivery")
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
