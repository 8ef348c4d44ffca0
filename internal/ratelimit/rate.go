// Package ratelimit bounds rates.
package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

// Take takes n tokens, or returns when there will be as many. More than the burst
// counts as the burst. A nil limiter always has enough. It needs the caller's lock, as
// Reserve does.
func Take(l *rate.Limiter, n int) (again time.Duration) {
	if l == nil {
		return 0
	}
	_, again = Reserve(l, min(n, l.Burst()), 0)
	return again
}

// Reserve reserves n tokens and returns how long it is until they are there. If that
// is longer than patience, it reserves none. Only one goroutine may call it at a time:
// if another one took tokens between the two steps, the cancelled reservation would
// leave a debt, and a crowd that is refused would bar the key for hours.
func Reserve(l *rate.Limiter, n int, patience time.Duration) (reserved *rate.Reservation, wait time.Duration) {
	reserved = l.ReserveN(time.Now(), n)
	if wait = reserved.Delay(); wait > patience {
		reserved.Cancel()
		return nil, wait
	}
	return reserved, wait
}

// New returns a limiter for that many events a second, of which those of two
// seconds may come at once. With 0 it returns nil.
func New(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}
