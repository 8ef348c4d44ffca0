// Package quota bounds the bytes, or places, that clients hold together, and shares
// them fairly.
package quota

import (
	"container/list"
	"context"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// keyShare is the part of a Share that one key may hold: 1/4. Strangers leave as much
// to callers that are known.
const keyShare = 4

// strangerPrefix begins the keys of clients that are known by their address only.
const strangerPrefix = "address "

// Key returns the key of a client: its user, or, if that is unknown, its address. "" is
// the key of one without either.
func Key(user, address string) string {
	switch {
	case user != "":
		return "user " + user
	case address != "":
		return strangerPrefix + address
	}
	return ""
}

func isStranger(key string) bool { return strings.HasPrefix(key, strangerPrefix) }

// Share is a bounded number of bytes, or of places, that clients hold together. One key
// (the address or the user of a client, or a group) holds at most a quarter of it. All
// addresses together hold at most three quarters, as anyone may have many of them. The key
// "" has no bound of its own. Waiting callers are served in order, without those whose key
// holds its maximum.
type Share struct {
	size int64

	mu   sync.Mutex
	used int64
	// Of used: what addresses hold.
	strangers int64
	byKey     map[string]int64
	waiters   list.List // of *waiter
	refused   uint64
}

// waiter waits for bytes of a Share. granted is closed when it has them.
type waiter struct {
	key     string
	n       int64
	granted chan struct{}
}

// NewShare returns a Share of that many bytes or places.
func NewShare(size int64) *Share { return &Share{size: size, byKey: make(map[string]int64)} }

// Size returns the number of bytes.
func (s *Share) Size() int64 { return s.size }

// Refusals returns how often bytes were refused.
func (s *Share) Refusals() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Used returns how many bytes are held.
func (s *Share) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Held is what one key holds of a Share. The zero Held holds nothing. It is for one
// goroutine.
type Held struct {
	share *Share
	key   string
	bytes int64
}

// TryAcquire takes n bytes if they are there at once. More than a key may hold counts
// as everything it may hold.
func (s *Share) TryAcquire(key string, n int64) (h Held, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.clamp(n)
	if !s.take(key, n) {
		s.refused++
		return Held{}, false
	}
	return Held{s, key, n}, true
}

// Acquire is TryAcquire, but waits until patience has passed or ctx ends.
func (s *Share) Acquire(ctx context.Context, key string, n int64, patience time.Duration) (h Held, ok bool) {
	s.mu.Lock()
	n = s.clamp(n)
	if s.take(key, n) {
		s.mu.Unlock()
		return Held{s, key, n}, true
	}
	w := &waiter{key: key, n: n, granted: make(chan struct{})}
	at := s.waiters.PushBack(w)
	s.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-w.granted:
		return Held{s, key, n}, true
	case <-t.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.granted: // in the last moment
		return Held{s, key, n}, true
	default:
	}
	s.waiters.Remove(at)
	s.refused++
	s.serve() // those that came after it may fit
	return Held{}, false
}

// Shrink gives all but n bytes back.
func (h *Held) Shrink(n int64) {
	if h.share == nil || n >= h.bytes {
		return
	}
	h.share.mu.Lock()
	defer h.share.mu.Unlock()
	h.share.remove(h.key, h.bytes-n)
	h.bytes = n
	h.share.serve()
}

// Grow takes bytes until n are held, if they are there at once, and reports whether
// they are. It is bounded by nothing but the Share and the key.
func (h *Held) Grow(n int64) bool {
	s := h.share
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= h.bytes {
		return true
	}
	if !s.fits(h.key, n-h.bytes) {
		s.refused++
		return false
	}
	s.add(h.key, n-h.bytes)
	h.bytes = n
	return true
}

// Bytes returns how many bytes are held.
func (h *Held) Bytes() int64 { return h.bytes }

// Release gives everything back.
func (h *Held) Release() { h.Shrink(0) }

// clamp bounds n by what one key may hold.
func (s *Share) clamp(n int64) int64 { return min(n, s.size/keyShare) }

// take takes n bytes if they fit, unless others wait for bytes of the whole: those that
// may not have more are in nobody's way. It needs the lock, as do the methods below.
func (s *Share) take(key string, n int64) bool {
	if !s.fits(key, n) {
		return false
	}
	for at := s.waiters.Front(); at != nil; at = at.Next() {
		if w := at.Value.(*waiter); s.used+w.n > s.size && s.mayHave(w.key, w.n) {
			return false
		}
	}
	s.add(key, n)
	return true
}

func (s *Share) fits(key string, n int64) bool { return s.used+n <= s.size && s.mayHave(key, n) }

// mayHave reports whether n more bytes are within the bounds of key.
func (s *Share) mayHave(key string, n int64) bool {
	return (key == "" || s.byKey[key]+n <= s.size/keyShare) &&
		(!isStranger(key) || s.strangers+n <= s.size-s.size/keyShare)
}

func (s *Share) add(key string, n int64) {
	s.used += n
	if isStranger(key) {
		s.strangers += n
	}
	if key != "" {
		s.byKey[key] += n
	}
}

func (s *Share) remove(key string, n int64) {
	s.used -= n
	if isStranger(key) {
		s.strangers -= n
	}
	if key == "" {
		return
	}
	if s.byKey[key] -= n; s.byKey[key] == 0 {
		delete(s.byKey, key)
	}
}

// serve grants what fits, in order, until something does not fit the whole.
func (s *Share) serve() {
	for at := s.waiters.Front(); at != nil; {
		next := at.Next()
		w := at.Value.(*waiter)
		if s.mayHave(w.key, w.n) {
			if s.used+w.n > s.size {
				return
			}
			s.add(w.key, w.n)
			s.waiters.Remove(at)
			close(w.granted)
		}
		at = next
	}
}

// unlimited is what MemoryLimit returns when the process has no limit.
const unlimited = 2 << 30

// MemoryLimit returns the limit of the Go runtime (GOMEMLIMIT, or what was derived from
// the container's), or what is assumed without one.
func MemoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		return n
	}
	return unlimited
}
