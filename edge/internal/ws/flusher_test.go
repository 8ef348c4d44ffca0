package ws

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
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

func TestFlusherKeepsTheOrderOfEveryMember(t *testing.T) {
	f := NewFlusher(prometheus.NewRegistry())
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
				o.SendBulk(frame)
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
	if f.express.workers != 0 || f.bulk.workers != 0 || f.express.len() != 0 || f.bulk.len() != 0 {
		t.Errorf("left behind: %d and %d workers, lines of %d and %d", f.express.workers, f.bulk.workers, f.express.len(), f.bulk.len())
	}
	if n := testutil.CollectAndCount(f.seconds); n != 1 {
		t.Errorf("%d histograms of writes, want 1", n)
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

// turnless makes Outboxes that wait for their turn and have nothing to say when it comes.
func turnless(n int) []*Outbox {
	outs := make([]*Outbox, n)
	for i := range outs {
		outs[i] = &Outbox{}
	}
	return outs
}

func TestEachLineHasItsOwnWritersAndLeavesAProcessorFree(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	f := NewFlusher(prometheus.NewRegistry())
	for _, l := range []*line{&f.express, &f.bulk} {
		l.workers = 2 // the test's own, as many as there may be
	}
	bulk, express := turnless(3*flushShare), turnless(3*flushShare)
	for i := range bulk {
		f.add(bulk[i], true)
		f.add(express[i], false)
	}
	if f.express.workers != 2 || f.bulk.workers != 2 {
		t.Errorf("%d and %d workers for three processors, want 2 and 2", f.express.workers, f.bulk.workers)
	}
	chunk := make([]*Outbox, flushChunk)
	for _, tt := range []struct {
		l    *line
		want []*Outbox
	}{{&f.express, express}, {&f.bulk, bulk}} {
		for at := 0; at < len(tt.want); at += flushChunk {
			if n, _ := f.next(tt.l, nil, chunk); !slices.Equal(chunk[:n], tt.want[at:at+flushChunk]) {
				t.Fatalf("at %d: others had their turn", at)
			}
		}
		if n, served := f.next(tt.l, nil, chunk); n != 0 || served != uint(len(express)) || tt.l.workers != 1 {
			t.Errorf("in the end: %d, %d served, %d workers, want 0, %d, 1", n, served, tt.l.workers, len(express))
		}
	}
}

func TestBulkRestsAfterASpellAndForOthersOnly(t *testing.T) {
	began := time.Unix(1000, 0)
	s := shift{served: 7, began: began}
	for _, tt := range []struct {
		served uint
		after  time.Duration
		over   bool
	}{
		{7, time.Hour, false},
		{8, spell, false},
		{8, spell + 1, true},
		{6, spell + 1, true}, // the count has begun anew
	} {
		if got := s.over(tt.served, began.Add(tt.after)); got != tt.over {
			t.Errorf("after %v, %d served: over %v, want %v", tt.after, tt.served, got, tt.over)
		}
	}
}

func TestFlusherOfOneProcessorServesBulk(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f := NewFlusher(prometheus.NewRegistry())
	server, client := connected(t)
	o := NewOutbox(Limits{Frames: 10, Bytes: 1000}, f)
	o.Start(server)
	o.SendBulk([]Frame{numbered(1)})
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
