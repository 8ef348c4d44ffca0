package limit

import (
	"context"
	"time"
)

// Slots bounds how many do something at one time.
type Slots struct{ taken chan struct{} }

// NewSlots returns n Slots.
func NewSlots(n int) Slots { return Slots{make(chan struct{}, n)} }

// Taken is how many are in use.
func (s Slots) Taken() int { return len(s.taken) }

// Try takes a slot if one is free.
func (s Slots) Try() bool {
	select {
	case s.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

// Wait takes a slot, and waits for one if need be, for as long as ctx and
// patience allow.
func (s Slots) Wait(ctx context.Context, patience time.Duration) bool {
	if s.Try() {
		return true
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case s.taken <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// Free gives a slot back.
func (s Slots) Free() { <-s.taken }
