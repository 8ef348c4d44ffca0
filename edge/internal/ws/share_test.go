package ws

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// few returns so many frames of size bytes each.
func few(n, size int) (frames []Frame) {
	for range n {
		frames = append(frames, Raw(make([]byte, size)))
	}
	return frames
}

func TestAShareIsAQuarterOfTheQueue(t *testing.T) {
	const quarter = 1 << 18
	for name, tt := range map[string]struct {
		queued, more []Frame
		want         bool
	}{
		"frames fit":           {few(24, 300), few(1, 300), true},
		"too many frames":      {few(25, 300), few(1, 300), false},
		"bytes fit":            {few(1, quarter/2), few(1, quarter/2), true},
		"too many bytes":       {few(1, quarter/2), few(2, quarter/4+1), false},
		"one of any size fits": {nil, few(1, 2*quarter), true},
		"too many at once":     {nil, few(26, 300), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(x *box) {
				t, o := x.T, x.o
				o.ShareOut()
				var one, other Share
				if !o.Offer(&one, tt.queued, 0, false) {
					t.Fatal("refused")
				}
				if got := o.Fits(&one, len(tt.more), totalSize(tt.more)); got != tt.want {
					t.Errorf("fits: %v, want %v", got, tt.want)
				}
				if got := o.Offer(&one, tt.more, 0, false); got != tt.want {
					t.Errorf("taken: %v, want %v", got, tt.want)
				}
				if !o.Offer(&other, few(1, 300), 0, false) {
					t.Error("another share is full, too")
				}
			})
		})
	}
}

func TestSharesTogetherFitIntoTheQueue(t *testing.T) {
	bubble(t, func(x *box) {
		t := x.T
		x.o.ShareOut()
		var shares [5]Share
		for i := range shares {
			if got, want := x.o.Offer(&shares[i], few(25, 300), 0, false), i < 4; got != want {
				t.Errorf("share %d is taken: %v, want %v", i, got, want)
			}
		}
		// What belongs to no member may use as much again.
		x.o.SendAll(few(100, 300))
		if x.o.Cause() != nil {
			t.Errorf("closed: %v", x.o.Cause())
		}
		x.o.SendAll(few(1, 300))
		if !errors.Is(x.o.Cause(), ErrSlowConsumer) {
			t.Errorf("cause %v, want that of a slow consumer", x.o.Cause())
		}
	})
}

func TestWhatIsWrittenLeavesItsShare(t *testing.T) {
	bubble(t, func(x *box) {
		t, o := x.T, x.o
		o.ShareOut()
		resume := x.w.stall()
		o.Start(x.w)
		var one, other Share
		for range 12 { // in turns, and with frames of no share
			o.Offer(&one, few(2, 4000), 0, false)
			o.Offer(&other, few(1, 4000), 0, false)
			o.Send(Ping())
		}
		if one != (Share{24, 24 * 4000}) || other != (Share{12, 12 * 4000}) {
			t.Errorf("the shares have %v and %v", one, other)
		}
		done := make(chan error, 1)
		go func() { done <- o.AwaitRoom(t.Context(), &one, func() bool { return false }) }()
		synctest.Wait()
		if len(done) > 0 || o.Portion(&one, few(1, 300)) != 0 {
			t.Error("a full share has room")
		}
		resume()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if one != (Share{}) || other != (Share{}) {
			t.Errorf("the shares have %v and %v after all was written", one, other)
		}
	})
}

func TestAPagePacedIntoAShareLeavesRoomForOthers(t *testing.T) {
	bubble(t, func(x *box) {
		t, o := x.T, x.o
		o.ShareOut()
		resume := x.w.stall()
		o.Start(x.w)
		var frames []Frame
		for i := range 1000 {
			frames = append(frames, Text(fmt.Append(nil, i)))
		}
		var one Share
		done := make(chan error, 1)
		go func() { done <- sendPaced(t, o, &one, frames) }()
		synctest.Wait()
		if o.frames == 0 || o.frames > limits.Frames/4 {
			t.Errorf("%d frames wait, want at most a quarter of %d", o.frames, limits.Frames)
		}
		resume()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !bytes.Equal(x.w.all(), raw(frames...)) {
			t.Error("the bytes are not those of the frames")
		}
	})
}

func TestNudgeInterrupts(t *testing.T) {
	bubble(t, func(x *box) {
		t, o := x.T, x.o
		o.ShareOut()
		var one Share
		o.Offer(&one, few(25, 300), 0, false)
		interrupted := false
		done := make(chan error, 1)
		go func() { done <- o.AwaitRoom(t.Context(), &one, func() bool { return interrupted }) }()
		synctest.Wait()
		interrupted = true
		o.Nudge()
		synctest.Wait()
		if len(done) != 1 {
			t.Error("it waits on")
		}
	})
}

func TestAPeerWithSharesThatTakesNothingLearnsWhyItIsClosed(t *testing.T) {
	bubble(t, func(x *box) {
		t, o := x.T, x.o
		o.ShareOut()
		resume := x.w.stall()
		o.Start(x.w)
		var one Share
		begun := few(1, 300)
		o.Offer(&one, begun, 0, false)
		synctest.Wait()
		o.Offer(&one, few(10, 300), 0, false)
		time.Sleep(writeTimeout - time.Second)
		if o.Cause() != nil {
			t.Errorf("closed too soon: %v", o.Cause())
		}
		time.Sleep(2 * time.Second)
		if !errors.Is(o.Cause(), ErrSlowConsumer) {
			t.Errorf("cause %v, want that of a slow consumer", o.Cause())
		}
		resume()
		synctest.Wait()
		want := raw(append(begun, closeFrame(ErrSlowConsumer.Code, ErrSlowConsumer.Reason))...)
		if !bytes.Equal(x.w.all(), want) {
			t.Errorf("the peer got %q, want the frame that was begun, and a close frame", x.w.all())
		}
	})
}

func TestAPeerWithSharesThatNeverTakesAnythingIsCutOff(t *testing.T) {
	bubble(t, func(x *box) {
		t := x.T
		x.o.ShareOut()
		defer x.w.stall()()
		x.o.Start(x.w)
		x.o.Send(Ping())
		time.Sleep(2*writeTimeout + time.Second)
		synctest.Wait()
		if !x.w.closed {
			t.Error("the connection is open")
		}
		if !errors.Is(x.o.Cause(), ErrSlowConsumer) {
			t.Errorf("cause %v, want that of a slow consumer", x.o.Cause())
		}
	})
}

func TestTheLastFrameIsItsMakers(t *testing.T) {
	bubble(t, func(x *box) {
		t, o := x.T, x.o
		o.EndWith(func(cause *CloseError) Frame { return Raw(fmt.Appendf(nil, "event: error %d\n\n", cause.Code)) })
		o.Start(x.w)
		o.Send(Raw([]byte("event: message\n\n")))
		o.Close(&CloseError{1001, "bye"})
		o.Send(Raw([]byte("too late")))
		o.Wait()
		if got, want := string(x.w.all()), "event: message\n\nevent: error 1001\n\n"; got != want {
			t.Errorf("the peer got %q, want %q", got, want)
		}
	})
}
