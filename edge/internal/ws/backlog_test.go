package ws

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/quota"
)

// lagging is a box whose peer may be behind by up to most bytes, of a share of size.
func lagging(t *testing.T, size, most int64, test func(b *box, backlog *Backlog, share *quota.Share)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := NewOutbox(limits, NewFlusher(prometheus.NewRegistry()))
		share := quota.NewShare(size)
		backlog := NewBacklog(share, most, new(atomic.Int64))
		o.SetBacklog(backlog)
		x := &box{T: t, o: o, w: newWire()}
		test(x, backlog, share)
		o.Abort(ErrGone)
		o.Wait()
		if n := share.Used(); n != 0 {
			t.Errorf("%d bytes of the budget are still held", n)
		}
	})
}

var piece = Binary(make([]byte, 32<<10))

// fill delivers until the Outbox ends or n pieces are delivered.
func (x *box) fill(n int) (sent int) {
	for ; sent < n && x.o.Cause() == nil; sent++ {
		x.o.Deliver([]Frame{piece}, 0, false)
	}
	return sent
}

// 59 messages at once overran a queue of 1 MiB before its writer had a turn.
func TestBurstBeyondTheQueueIsWritten(t *testing.T) {
	lagging(t, 256<<20, 32<<20, func(x *box, _ *Backlog, share *quota.Share) {
		x.o.Start(x.w)
		if n := x.fill(500); n != 500 {
			x.Fatalf("ended after %d", n)
		}
		synctest.Wait()
		if n := len(x.w.all()); n != 500*piece.Size() || x.o.Cause() != nil {
			x.Errorf("%d bytes were written, cause %v", n, x.o.Cause())
		}
		if n := share.Used(); n != 0 {
			x.Errorf("%d bytes of the budget are held by a peer that is not behind", n)
		}
	})
}

func TestPeerThatTakesNothingIsSlow(t *testing.T) {
	lagging(t, 256<<20, 32<<20, func(x *box, _ *Backlog, _ *quota.Share) {
		x.o.Start(x.w)
		resume := x.w.stall()
		defer resume()
		x.fill(100)
		time.Sleep(stallTimeout + time.Second)
		x.fill(1)
		if !errors.Is(x.o.Cause(), ErrSlowConsumer) {
			x.Errorf("cause %v", x.o.Cause())
		}
	})
}

func TestPeerThatStaysBehindIsSlow(t *testing.T) {
	lagging(t, 256<<20, 32<<20, func(x *box, _ *Backlog, _ *quota.Share) {
		x.o.Start(x.w)
		resume := x.w.stall()
		x.fill(100)
		for began := time.Now(); x.o.Cause() == nil; {
			if time.Since(began) > lagTimeout+3*time.Second {
				x.Fatal("it is not closed")
			}
			time.Sleep(time.Second)
			next := x.w.stall()
			resume() // takes one write
			resume = next
			x.fill(2)
		}
		resume()
		if !errors.Is(x.o.Cause(), ErrSlowConsumer) {
			x.Errorf("cause %v", x.o.Cause())
		}
	})
}

func TestBacklogIsBounded(t *testing.T) {
	for _, tt := range []struct {
		size, most, want int64
	}{
		{256 << 20, 8 << 20, 8 << 20},
		{16 << 20, 32 << 20, 4 << 20}, // a room has a quarter of the budget
	} {
		lagging(t, tt.size, tt.most, func(x *box, _ *Backlog, _ *quota.Share) {
			x.o.Start(x.w)
			resume := x.w.stall()
			defer resume()
			got := int64(x.fill(10_000)*piece.Size() - limits.Bytes)
			if got < tt.want*7/8 || got > tt.want+64<<10 {
				x.Errorf("a backlog of %d bytes, want %d", got, tt.want)
			}
		})
	}
}

// Members of a room share frames, but not those that each is sent alone.
func TestOwnFramesCountForEachPeer(t *testing.T) {
	lagging(t, 64<<20, 8<<20, func(x *box, _ *Backlog, share *quota.Share) {
		resume := x.w.stall()
		defer resume()
		x.o.Start(x.w)
		x.fill(34)
		before := share.Used()
		for range 1000 {
			x.o.Send(Text(make([]byte, 1000)))
		}
		if n := share.Used() - before; n < 1_000_000 {
			x.Errorf("1,000,000 bytes for one peer count as %d", n)
		}
	})
}

func TestSendersWaitWhileABacklogIsHalfFull(t *testing.T) {
	lagging(t, 256<<20, 8<<20, func(x *box, backlog *Backlog, _ *quota.Share) {
		x.o.Start(x.w)
		resume := x.w.stall()
		x.fill(100)
		if backlog.Congested() != nil {
			x.Error("senders wait at 2 of 8 MiB")
		}
		x.fill(100)
		relieved := backlog.Congested()
		if relieved == nil {
			x.Fatal("senders do not wait at 5 of 8 MiB")
		}
		resume()
		<-relieved
		if backlog.Congested() != nil {
			x.Error("senders wait although nobody is behind")
		}
	})
}
