package ws

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// deadlined is a TCP connection that notes its write deadline.
type deadlined struct {
	*net.TCPConn

	mu sync.Mutex
	by time.Time
}

func (c *deadlined) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.by = t
	c.mu.Unlock()
	return c.TCPConn.SetWriteDeadline(t)
}

func (c *deadlined) deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by
}

// connected returns both ends of a TCP connection, with small buffers.
func connected(t *testing.T) (server *deadlined, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		accepted.Close()
	})
	tcp, _ := accepted.(*net.TCPConn)
	if err := tcp.SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	return &deadlined{TCPConn: tcp}, client
}

func numbered(n int) Frame { return Text(fmt.Appendf(nil, "frame %06d of a test", n)) }

// wantNumbered reads the frames from first to last, in order.
func wantNumbered(t *testing.T, from io.Reader, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		want := numbered(n).raw
		got := make([]byte, len(want))
		if _, err := io.ReadFull(from, got); err != nil {
			t.Fatalf("frame %d: %v", n, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// samples is how many turns were measured.
func samples(t *testing.T, reg *prometheus.Registry) uint64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families {
		if m.GetName() == "gotapi_edge_write_seconds" {
			return m.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}

func TestFlusherKeepsTheOrderOfEveryMember(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := NewFlusher(reg)
	const members, frames = 100, 2000
	outs := make([]*Outbox, members)
	var readers sync.WaitGroup
	for i := range outs {
		server, client := connected(t)
		outs[i] = NewOutbox(Limits{Frames: frames + 1, Bytes: 1 << 30}, f)
		outs[i].Start(server)
		readers.Go(func() { wantNumbered(t, client, 0, frames-1) })
	}
	for n := range frames {
		frame := []Frame{numbered(n)}
		for i, o := range outs {
			if (i+n)%3 == 0 {
				o.Deliver(frame, 0, true)
			} else {
				o.SendAll(frame)
			}
		}
	}
	readers.Wait()
	for _, o := range outs {
		o.Abort(ErrGone)
		o.Wait()
	}
	f.Wait()
	want := `
		# HELP gotapi_edge_write_queue_members Members whose frames wait for a writer.
		# TYPE gotapi_edge_write_queue_members gauge
		gotapi_edge_write_queue_members 0
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "gotapi_edge_write_queue_members"); err != nil {
		t.Error(err)
	}
	if n := samples(t, reg); n == 0 {
		t.Error("no turn was measured")
	}
}

func TestPeerThatReadsNothingHoldsNobodyUp(t *testing.T) {
	f := NewFlusher(prometheus.NewRegistry())
	const members, frames = 3, 50_000
	limits := Limits{Frames: frames + 1, Bytes: 1 << 30}
	stalledServer, stalledClient := connected(t)
	stalled := NewOutbox(limits, f)
	stalled.Start(stalledServer)
	for n := range frames {
		stalled.Send(numbered(n))
	}
	for range members {
		server, client := connected(t)
		o := NewOutbox(limits, f)
		o.Start(server)
		o.Send(numbered(7))
		wantNumbered(t, client, 7, 7)
		o.Abort(ErrGone)
		o.Wait()
	}
	// When it reads on, it gets everything, in order, and no deadline is left
	// that would end its next write.
	wantNumbered(t, stalledClient, 0, frames-1)
	stalled.Send(numbered(frames))
	wantNumbered(t, stalledClient, frames, frames)
	for giveUp := time.Now().Add(10 * time.Second); !stalledServer.deadline().IsZero(); time.Sleep(time.Millisecond) {
		if time.Now().After(giveUp) {
			t.Fatal("a deadline is left behind")
		}
	}
	stalled.Abort(ErrGone)
	stalled.Wait()
	f.Wait()
}

// crowd is the members of a large room, whose connections take nothing until release
// is closed: a backlog that does not move.
type crowd struct {
	outs    []*Outbox
	release chan struct{}
	// Writes that have begun.
	writing atomic.Int64
}

// held is a connection to a null device whose writes wait for a crowd's release.
type held struct {
	null
	crowd *crowd
}

func (h held) SyscallConn() (syscall.RawConn, error) {
	raw, err := h.null.SyscallConn()
	return heldRaw{raw, h.crowd}, err
}

type heldRaw struct {
	syscall.RawConn
	crowd *crowd
}

func (h heldRaw) Write(f func(fd uintptr) bool) error {
	h.crowd.writing.Add(1)
	<-h.crowd.release
	return h.RawConn.Write(f)
}

// newCrowd has a frame for each of so many members in line.
func newCrowd(f *Flusher, to null, members int) *crowd {
	c := &crowd{release: make(chan struct{})}
	for range members {
		o := NewOutbox(limits, f)
		o.Start(held{to, c})
		o.Deliver([]Frame{numbered(1)}, 0, true)
		c.outs = append(c.outs, o)
	}
	return c
}

func (c *crowd) written() (n int) {
	for _, o := range c.outs {
		if frames, _ := o.Written(); frames > 0 {
			n++
		}
	}
	return n
}

func devNull(t *testing.T) null {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return null{file: file}
}

func TestASmallRoomIsNotBehindALargeRoomsBacklog(t *testing.T) {
	for _, processors := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(processors, " processors"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			to := devNull(t)
			synctest.Test(t, func(t *testing.T) {
				f := NewFlusher(prometheus.NewRegistry())
				large := newCrowd(f, to, 10*workerShare*processors)
				synctest.Wait()

				small := NewOutbox(limits, f)
				small.Start(to)
				for range 3 {
					small.SendAll([]Frame{numbered(1)})
					synctest.Wait()
				}
				if n, _ := small.Written(); n != 3 {
					t.Errorf("%d of 3 frames of a small room were written while the large room's wait", n)
				}
				if n := large.written(); n != 0 {
					t.Errorf("%d members of the large room were written to, want none: there was no backlog", n)
				}
				close(large.release)
				synctest.Wait()
				if n := large.written(); n != len(large.outs) {
					t.Errorf("%d of %d members of the large room were written to in the end", n, len(large.outs))
				}
				f.Wait()
			})
		})
	}
}

func TestALargeRoomLeavesAProcessorFree(t *testing.T) {
	for processors, want := range map[int]int64{1: 1, 2: 1, 3: 2} {
		t.Run(fmt.Sprint(processors, " processors"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			to := devNull(t)
			synctest.Test(t, func(t *testing.T) {
				f := NewFlusher(prometheus.NewRegistry())
				large := newCrowd(f, to, 10*workerShare)
				synctest.Wait()
				if n := large.writing.Load(); n != want {
					t.Errorf("%d writes at one time, want %d", n, want)
				}
				close(large.release)
				f.Wait()
			})
		})
	}
}

func TestMembersOfARoomAreServedInTheOrderInWhichTheyGotInLine(t *testing.T) {
	var q fifo
	outs := make([]*Outbox, 10*workerShare)
	for i := range outs {
		outs[i] = new(Outbox)
	}
	var got []*Outbox
	chunk := make([]*Outbox, workerChunk)
	for i, o := range outs {
		q.push(o)
		if i%2 == 0 { // half as fast as they come
			got = append(got, chunk[:q.take(chunk[:1])]...)
		}
	}
	for q.len() > 0 {
		got = append(got, chunk[:q.take(chunk)]...)
	}
	if !slices.Equal(got, outs) {
		t.Error("the order has changed")
	}
}

func TestFlusherOfOneProcessorServesBulk(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f := NewFlusher(prometheus.NewRegistry())
	server, client := connected(t)
	o := NewOutbox(Limits{Frames: 10, Bytes: 1000}, f)
	o.Start(server)
	o.Deliver([]Frame{numbered(1)}, 0, true)
	wantNumbered(t, client, 1, 1)
	o.Abort(ErrGone)
	o.Wait()
	f.Wait()
}

func TestBrokenConnectionEndsItsOutbox(t *testing.T) {
	f := NewFlusher(prometheus.NewRegistry())
	server, _ := connected(t)
	o := NewOutbox(Limits{Frames: 10, Bytes: 1000}, f)
	o.Start(server)
	_ = server.Close()
	o.Send(numbered(1))
	o.Wait()
	if o.Cause() == nil {
		t.Error("the outbox goes on")
	}
	f.Wait()
}
