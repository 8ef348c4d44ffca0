package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How often one message may stand in the log: calmBurst times in calmPeriod.
const (
	calmBurst  = 20
	calmPeriod = 10 * time.Second
	// Messages are constants of the program: there are never so many of them.
	calmMessages = 4096
)

// Calm returns a handler that hands on to next at most 20 records of the same
// level and message in 10 s, at Info and above. The first one of the time after tells how many were
// left out, in "suppressed"; a message that does not come again does not tell.
// Debug records are all handed on: who asked for them wants them.
func Calm(next slog.Handler) slog.Handler {
	return calm{next, &repeats{seen: make(map[message]*repeat)}}
}

type calm struct {
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
func (c calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return c.Handler.Handle(ctx, r)
	}
	ok, suppressed := c.repeats.pass(message{r.Level, r.Message}, r.Time)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return c.Handler.Handle(ctx, r)
}

// pass says whether a record may be handed on, and how many were not in the
// period before.
func (s *repeats) pass(m message, now time.Time) (ok bool, suppressed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.seen[m]
	if one == nil {
		if len(s.seen) >= calmMessages {
			clear(s.seen)
		}
		one = &repeat{began: now}
		s.seen[m] = one
	}
	if now.Sub(one.began) >= calmPeriod {
		suppressed = one.suppressed
		*one = repeat{began: now}
	}
	if one.passed >= calmBurst {
		one.suppressed++
		return false, 0
	}
	one.passed++
	return true, suppressed
}

// WithAttrs implements slog.Handler.
func (c calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return calm{c.Handler.WithAttrs(attrs), c.repeats}
}

// WithGroup implements slog.Handler.
func (c calm) WithGroup(name string) slog.Handler {
	return calm{c.Handler.WithGroup(name), c.repeats}
}
