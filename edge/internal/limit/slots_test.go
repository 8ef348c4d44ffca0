package limit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlotsAreWaitedForAsLongAsPatienceAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2)
		if !s.Try() || !s.Wait(t.Context(), 0) || s.Try() || s.Taken() != 2 {
			t.Fatalf("%d of 2 slots are taken", s.Taken())
		}
		start := time.Now()
		if s.Wait(t.Context(), time.Second) || time.Since(start) != time.Second {
			t.Errorf("a third slot, or a wait of %v", time.Since(start))
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if s.Wait(gone, time.Second) {
			t.Error("a slot for one who has gone")
		}
		time.AfterFunc(time.Second, s.Free)
		if !s.Wait(t.Context(), time.Minute) {
			t.Error("no slot although one became free")
		}
	})
}
