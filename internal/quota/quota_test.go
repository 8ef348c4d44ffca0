package quota

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneKeyHoldsAQuarter(t *testing.T) {
	s := NewShare(400)
	a, ok := s.TryAcquire("a", 1000)
	if !ok || a.Bytes() != 100 {
		t.Fatalf("got %d, %t, want a quarter", a.Bytes(), ok)
	}
	if _, ok := s.TryAcquire("a", 1); ok {
		t.Error("one key got more than a quarter")
	}
	for _, key := range []string{"b", "c", "d"} {
		if _, ok := s.TryAcquire(key, 100); !ok {
			t.Errorf("%s got nothing", key)
		}
	}
	if _, ok := s.TryAcquire("e", 1); ok {
		t.Error("more than all was given")
	}
	a.Release()
	if _, ok := s.TryAcquire("e", 100); !ok || s.Used() != 400 || s.Refusals() != 2 {
		t.Errorf("%t, %d used, %d refused", ok, s.Used(), s.Refusals())
	}
}

func TestKeyThatHoldsItsQuarterKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare(400)
		held, _ := s.TryAcquire("a", 100)
		got := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			_, ok := s.Acquire(t.Context(), "a", 50, time.Minute)
			if !ok {
				t.Error("a got nothing")
			}
			got <- time.Since(began)
		}()
		synctest.Wait()
		if _, ok := s.Acquire(t.Context(), "b", 100, time.Minute); !ok || time.Since(began) != 0 {
			t.Errorf("b got it: %t, after %v", ok, time.Since(began))
		}
		if _, ok := s.TryAcquire("c", 100); !ok {
			t.Error("c is refused because a waits")
		}
		time.Sleep(time.Second)
		held.Shrink(50)
		if took := <-got; took != time.Second {
			t.Errorf("a waited %v, want a second", took)
		}
	})
}

func TestLargeOnesAreServedInTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare(400)
		var held []Held
		for _, key := range []string{"a", "b", "c", "d"} {
			h, _ := s.TryAcquire(key, 100)
			held = append(held, h)
		}
		order := make(chan string, 2)
		for _, w := range []struct {
			key string
			n   int64
		}{{"large", 100}, {"small", 10}} {
			go func() {
				if _, ok := s.Acquire(t.Context(), w.key, w.n, time.Minute); ok {
					order <- w.key
				}
			}()
			synctest.Wait()
		}
		held[0].Shrink(50)
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("%s went first", <-order)
		}
		if _, ok := s.TryAcquire("small", 10); ok {
			t.Error("one that does not wait went first")
		}
		held[0].Release()
		held[1].Release()
		synctest.Wait()
		if len(order) != 2 {
			t.Errorf("%d were served, want both", len(order))
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare(400)
		held, _ := s.TryAcquire("a", 100)
		began := time.Now()
		if _, ok := s.Acquire(t.Context(), "a", 1, time.Second); ok || time.Since(began) != time.Second {
			t.Errorf("%t after %v", ok, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := s.Acquire(ctx, "a", 1, time.Minute); ok {
			t.Error("got it although the context has ended")
		}
		held.Release()
		held.Release() // does nothing
		if s.Used() != 0 || s.waiters.Len() != 0 {
			t.Errorf("%d used, %d wait", s.Used(), s.waiters.Len())
		}
	})
}

// Anyone may have many addresses, and with them all of a budget.
func TestStrangersLeaveAQuarterToCallersThatAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShare(400)
		for i := range 30 {
			if _, ok := s.TryAcquire(Key("", fmt.Sprint(i)), 10); !ok {
				t.Fatalf("stranger %d got nothing", i)
			}
		}
		if _, ok := s.TryAcquire(Key("", "more"), 10); ok {
			t.Error("strangers got more than three quarters")
		}
		waits := make(chan bool)
		go func() {
			_, ok := s.Acquire(t.Context(), Key("", "waits"), 100, time.Minute)
			waits <- ok
		}()
		synctest.Wait()
		known, ok := s.TryAcquire(Key("alice", ""), 100)
		if !ok {
			t.Error("a known caller is refused because strangers wait")
		}
		known.Release()
		if _, ok := s.TryAcquire("", 100); !ok || s.Used() != 400 {
			t.Errorf("one without a key got it: %t; %d are used", ok, s.Used())
		}
		if <-waits {
			t.Error("a stranger got what is not there")
		}
	})
}
