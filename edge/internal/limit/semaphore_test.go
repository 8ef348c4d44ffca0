package limit

import "testing"

func TestASemaphoreHasSoManyHolders(t *testing.T) {
	s := NewSemaphore(2)
	for i, want := range []bool{true, true, false} {
		if got := s.TryAcquire(); got != want {
			t.Errorf("holder %d: %t, want %t", i+1, got, want)
		}
	}
	if s.InUse() != 2 {
		t.Errorf("%d of 2 are in use", s.InUse())
	}
	s.Release()
	if s.InUse() != 1 || !s.TryAcquire() {
		t.Error("not acquired although one was released")
	}
}
