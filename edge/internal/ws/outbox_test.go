package ws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// wire is a connection that notes each Write, and blocks while it is stalled.
type wire struct {
	net.Conn // nil: what is not here must not be called

	mu       sync.Mutex
	writes   [][]byte
	gate     chan struct{} // closed: not stalled
	deadline time.Time     // for reading
	closed   bool
	writeBy  time.Time
}

func newWire() *wire {
	w := &wire{gate: make(chan struct{})}
	close(w.gate)
	return w
}

func (w *wire) stall() (resume func()) {
	gate := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate = gate
	return func() { close(gate) }
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	gate, timeout := w.gate, time.NewTimer(time.Until(w.writeBy))
	w.mu.Unlock()
	defer timeout.Stop()
	select {
	case <-gate:
	case <-timeout.C:
		return 0, os.ErrDeadlineExceeded
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, bytes.Clone(b))
	return len(b), nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeBy = t
	return nil
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

func (w *wire) all() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Join(w.writes, nil)
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.writes)
}

func raw(frames ...Frame) (b []byte) {
	for _, f := range frames {
		b = append(b, f.raw...)
	}
	return b
}

var limits = Limits{Frames: 100, Bytes: 1 << 20}

// box is an Outbox with its wire.
type box struct {
	*testing.T
	o *Outbox
	w *wire
}

func bubble(t *testing.T, test func(b *box)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := NewOutbox(limits, NewFlusher(prometheus.NewRegistry()))
		test(&box{T: t, o: o, w: newWire()})
		o.Abort(ErrGone)
		o.Wait()
	})
}

func TestFramesWaitForStartAndLeaveInOneWrite(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		a, b, c := Text([]byte("a")), Text([]byte("b")), Text([]byte("c"))
		o.Send(a)
		o.SendAll([]Frame{b, c})
		synctest.Wait()
		if w.count() != 0 {
			t.Error("written before Start")
		}
		o.Start(w)
		synctest.Wait()
		if w.count() != 1 || !bytes.Equal(w.all(), raw(a, b, c)) {
			t.Errorf("%d writes: %q", w.count(), w.all())
		}
		if o.Queued() != 0 {
			t.Errorf("%d bytes queued, want 0", o.Queued())
		}
	})
}

func TestFramesThatCameDuringAWriteLeaveTogether(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		resume := w.stall()
		o.Start(w)
		for i := range 51 {
			o.Send(Text(fmt.Append(nil, i)))
			synctest.Wait()
		}
		resume()
		synctest.Wait()
		if w.count() != 2 {
			t.Errorf("%d writes, want 2", w.count())
		}
	})
}

func TestLargeFramesLeaveInPieces(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		o.Start(w)
		frames := []Frame{Text([]byte("a")), Binary(make([]byte, 200<<10)), Text([]byte("b"))}
		o.SendAll(frames)
		synctest.Wait()
		if !bytes.Equal(w.all(), raw(frames...)) {
			t.Error("the bytes are not those of the frames")
		}
		for _, b := range w.writes {
			if len(b) > maxPiece {
				t.Errorf("a write of %d bytes, want at most %d", len(b), maxPiece)
			}
		}
	})
}

func TestFullOutboxEndsWith1013(t *testing.T) {
	for name, f := range map[string]Frame{"frames": Text([]byte("a")), "bytes": Binary(make([]byte, 32<<10))} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(x *box) {
				t, o, w := x.T, x.o, x.w
				resume := w.stall()
				o.Start(w)
				sent := 0
				for ; o.Cause() == nil; sent++ {
					if sent > 200 {
						t.Fatal("200 frames fit")
					}
					o.Send(f)
					synctest.Wait()
				}
				if !errors.Is(o.Cause(), ErrSlowConsumer) {
					t.Errorf("cause %v", o.Cause())
				}
				o.Send(f)
				resume()
				synctest.Wait()
				// What was being written, and then the close frame: no hole.
				if want := raw(f, closeFrame(1013, "slow consumer")); !bytes.Equal(w.all(), want) {
					t.Errorf("%d bytes written, want %d", len(w.all()), len(want))
				}
			})
		})
	}
}

func TestFullOutboxDropsWhatIsNotWrittenYet(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		f := Binary(make([]byte, 20<<10)) // each in a write of its own
		resume := w.stall()
		for range 20 {
			o.Send(f)
		}
		o.Start(w)
		synctest.Wait() // the writer has taken all, and is stuck with the first
		for o.Cause() == nil {
			o.Send(f)
		}
		resume()
		synctest.Wait()
		if want := raw(f, closeFrame(1013, "slow consumer")); !bytes.Equal(w.all(), want) {
			t.Errorf("%d bytes written, want %d", len(w.all()), len(want))
		}
	})
}

func TestOneFrameOfAnySizeFits(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		resume := w.stall()
		o.Start(w)
		o.Send(Binary(make([]byte, 8<<20)))
		o.Send(Binary(make([]byte, 32<<10)))
		if o.Cause() != nil {
			t.Errorf("ended: %v", o.Cause())
		}
		resume()
	})
}

func TestCloseFrameIsTheLastFrame(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		a := Text([]byte("a"))
		o.Start(w)
		o.Send(a)
		o.Close(&CloseError{1001, "bye"})
		o.Close(&CloseError{1012, "too late"})
		o.Send(a)
		synctest.Wait()
		if want := raw(a, closeFrame(1001, "bye")); !bytes.Equal(w.all(), want) {
			t.Errorf("written %q, want %q", w.all(), want)
		}
		if w.deadline.IsZero() || w.closed {
			t.Errorf("read deadline %v, closed %v: the peer has no time to answer, or endless time", w.deadline, w.closed)
		}
	})
}

func TestStuckWriteEndsTheConnection(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		resume := w.stall()
		defer resume()
		o.Start(w)
		o.Send(Ping())
		time.Sleep(writeTimeout + time.Second)
		if !errors.Is(o.Cause(), os.ErrDeadlineExceeded) || !w.closed {
			t.Errorf("cause %v, closed %v", o.Cause(), w.closed)
		}
	})
}

func TestAbortBeforeStartClosesTheConnection(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		o.Abort(ErrGone)
		o.Start(w)
		if !w.closed {
			t.Error("not closed")
		}
	})
}

// sendPaced queues frames as fast as the peer takes them.
func sendPaced(t *testing.T, o *Outbox, s *Share, frames []Frame) error {
	t.Helper()
	for len(frames) > 0 {
		if err := o.AwaitRoom(t.Context(), s, func() bool { return false }); err != nil {
			return err
		}
		n := o.Portion(s, frames)
		o.Push(s, frames[:n], 0, false)
		frames = frames[n:]
	}
	return nil
}

func TestPacedFramesWaitForRoom(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		resume := w.stall()
		o.Start(w)
		var frames []Frame
		for i := range 1000 {
			frames = append(frames, Text(fmt.Append(nil, i)))
		}
		done := make(chan error, 1)
		go func() { done <- sendPaced(t, o, nil, frames) }()
		synctest.Wait()
		if o.frames > limits.Frames*3/4 {
			t.Errorf("%d frames wait, want at most three quarters of %d", o.frames, limits.Frames)
		}
		resume()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !bytes.Equal(w.all(), raw(frames...)) {
			t.Error("the bytes are not those of the frames")
		}
	})
}

func TestWaitersHearOfTheEnd(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		resume := w.stall()
		o.Start(w)
		written := make(chan error, 1)
		go func() { written <- o.SendAndWait(t.Context(), Ping()) }()
		synctest.Wait()
		select {
		case err := <-written:
			t.Fatalf("returned %v before it was written", err)
		default:
		}
		o.Close(&CloseError{1001, "bye"})
		if err := <-written; err == nil {
			t.Error("no error although the connection is ending")
		}
		resume()
	})
}

func TestSendAndWaitReturnsWhenTheFrameIsWritten(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		o.Start(w)
		if err := o.SendAndWait(t.Context(), Ping()); err != nil || w.count() != 1 {
			t.Errorf("error %v, %d writes", err, w.count())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		resume := w.stall()
		if err := o.SendAndWait(ctx, Ping()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
		resume()
	})
}

func TestIdleOutboxHasNoWriterAndLittleMemory(t *testing.T) {
	bubble(t, func(x *box) {
		t, o, w := x.T, x.o, x.w
		o.Start(w)
		for range 90 {
			o.Send(Ping())
		}
		synctest.Wait()
		o.Wait() // returns: there is no writer
		if cap(o.waiting) > keepFrames {
			t.Errorf("an array of %d frames is kept, want at most %d", cap(o.waiting), keepFrames)
		}
	})
}
