package limit

// Semaphore bounds how many requests do something at one time.
type Semaphore struct{ held chan struct{} }

// NewSemaphore returns a Semaphore for n at one time.
func NewSemaphore(n int) Semaphore { return Semaphore{make(chan struct{}, n)} }

// InUse returns how many hold the semaphore.
func (s Semaphore) InUse() int { return len(s.held) }

// TryAcquire acquires the semaphore if it can do so at once, and reports whether it
// did.
func (s Semaphore) TryAcquire() bool {
	select {
	case s.held <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release lets another one in. The caller has acquired the semaphore.
func (s Semaphore) Release() { <-s.held }
