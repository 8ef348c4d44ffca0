package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// One message is logged at most repeatBurst times in repeatPeriod.
const (
	repeatBurst  = 20
	repeatPeriod = 10 * time.Second
	// Messages are constants of the program: there are never so many of them.
	maxMessages = 4096
)

// LimitRepeats returns a handler that passes to next at most 20 records of the same
// level and message in 10 s. The next record after that says in "suppressed" how many
// were left out. Debug records are not limited.
func LimitRepeats(next slog.Handler) slog.Handler {
	return repeatLimiter{next, &repeats{seen: make(map[message]*repeat)}}
}

type repeatLimiter struct {
	slog.Handler
	// Shared with the handlers that WithAttrs and WithGroup make.
	repeats *repeats
}

type message struct {
	level slog.Level
	text  string
}

// repeat is what became of one message in the present period.
type repeat struct {
	began              time.Time
	passed, suppressed int
}

type repeats struct {
	mu   sync.Mutex
	seen map[message]*repeat
}

// Handle implements slog.Handler.
func (l repeatLimiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return l.Handler.Handle(ctx, r)
	}
	ok, suppressed := l.repeats.pass(message{r.Level, r.Message}, r.Time)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return l.Handler.Handle(ctx, r)
}

// pass reports whether a record is passed on, and how many were suppressed in the
// period before.
func (s *repeats) pass(m message, now time.Time) (ok bool, suppressed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.seen[m]
	if one == nil {
		if len(s.seen) >= maxMessages {
			clear(s.seen)
		}
		one = &repeat{began: now}
		s.seen[m] = one
	}
	if now.Sub(one.began) >= repeatPeriod {
		suppressed = one.suppressed
		*one = repeat{began: now}
	}
	if one.passed >= repeatBurst {
		one.suppressed++
		return false, 0
	}
	one.passed++
	return true, suppressed
}

// WithAttrs implements slog.Handler.
func (l repeatLimiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeatLimiter{l.Handler.WithAttrs(attrs), l.repeats}
}

// WithGroup implements slog.Handler.
func (l repeatLimiter) WithGroup(name string) slog.Handler {
	return repeatLimiter{l.Handler.WithGroup(name), l.repeats}
}
