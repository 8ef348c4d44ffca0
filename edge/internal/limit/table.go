package limit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds a Table. Who has not been seen for the longest time is forgotten:
// its bucket was full again, unless so many others came meanwhile.
const maxKeys = 100_000

// Table has a token bucket for each key. A nil Table lets everything through.
type Table struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*list.Element
	// Of *bucket, the one seen last in front.
	seen list.List
}

type bucket struct {
	key     string
	limiter *rate.Limiter
}

// NewTable returns a Table of that many a second for each key, of which those of
// two seconds may come at once. With 0 it returns nil.
func NewTable(perSecond float64) *Table {
	if perSecond == 0 {
		return nil
	}
	return &Table{rate: rate.Limit(perSecond), burst: burst(perSecond), buckets: make(map[string]*list.Element)}
}

// burst is what may come at once: that of two seconds.
func burst(perSecond float64) int { return max(1, int(2*perSecond)) }

// Take takes a token of key. If there is none, it returns when to come again.
func (t *Table) Take(key string) (again time.Duration) {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return take(t.of(key), 1)
}

// Len is how many keys are known.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.buckets)
}

// of returns the bucket of key. The caller locks.
func (t *Table) of(key string) *rate.Limiter {
	if e := t.buckets[key]; e != nil {
		t.seen.MoveToFront(e)
		return bucketOf(e).limiter
	}
	if len(t.buckets) >= maxKeys {
		oldest := t.seen.Back()
		delete(t.buckets, bucketOf(oldest).key)
		t.seen.Remove(oldest)
	}
	b := &bucket{key, rate.NewLimiter(t.rate, t.burst)}
	t.buckets[key] = t.seen.PushFront(b)
	return b.limiter
}

func bucketOf(e *list.Element) *bucket {
	b, _ := e.Value.(*bucket) // nothing else is in the list
	return b
}

// take takes n tokens, or says when there will be as many. More than the burst is
// as much as the burst. A nil limiter has always enough. It is for one caller at a
// time, as reserve is.
func take(l *rate.Limiter, n int) (again time.Duration) {
	if l == nil {
		return 0
	}
	_, again = reserve(l, min(n, l.Burst()), 0)
	return again
}

// reserve returns the turn of n tokens and how long it is until then. There is none if
// that is longer than patience. It is for one caller at a time: what another one takes
// between the two steps, a Reservation that is given back leaves as a debt, and a crowd
// that is refused would bar the key for hours.
func reserve(l *rate.Limiter, n int, patience time.Duration) (turn *rate.Reservation, wait time.Duration) {
	turn = l.ReserveN(time.Now(), n)
	if wait = turn.Delay(); wait > patience {
		turn.Cancel()
		return nil, wait
	}
	return turn, wait
}

// Counts bounds how many of each key there are at one time. With the bound 0 it
// lets everything through.
type Counts struct {
	most int

	mu  sync.Mutex
	now map[string]int
}

// NewCounts returns Counts with that bound.
func NewCounts(most int) *Counts { return &Counts{most: most, now: make(map[string]int)} }

// Enter counts one in, unless there are too many.
func (c *Counts) Enter(key string) bool {
	if c.most == 0 || key == "" {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now[key] >= c.most {
		return false
	}
	c.now[key]++
	return true
}

// Leave counts one out that has entered.
func (c *Counts) Leave(key string) {
	if c.most == 0 || key == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now[key]--; c.now[key] == 0 {
		delete(c.now, key)
	}
}
