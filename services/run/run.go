// Package run starts and stops the parts of a service in a fixed order.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Part is one part of a service. Serve works until its context ends, releases its
// resources, and returns.
type Part struct {
	// Unique within one call of All; it is in errors and logs.
	Name  string
	Serve func(ctx context.Context) error
}

var errEarly = errors.New("ended unexpectedly")

// All starts all parts at once. When ctx ends, or the first part returns, it
// stops them from the last to the first, and awaits each before it stops the one
// before: a part listed first outlives the rest.
//
// Stopping takes at most timeout (0: no limit) altogether. When it is over,
// the parts that still run are cancelled, named in the error, and no longer awaited:
// the caller is expected to end the process.
//
// The error names the part that failed first; nil means that ctx ended and
// every part stopped well. A part that returns an error because its context
// ended has stopped well.
func All(ctx context.Context, log *slog.Logger, timeout time.Duration, parts ...Part) error {
	ended := make(chan int, len(parts))
	started := make([]*running, len(parts))
	for i, p := range parts {
		started[i] = start(ctx, p, func() { ended <- i })
	}

	var cause error
	select {
	case <-ctx.Done():
	case i := <-ended:
		cause = started[i].failure()
	}
	return errors.Join(cause, stop(log, timeout, started))
}

// running is a part at work.
type running struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	// Valid once done is closed.
	err error
	// All returns err: there is no need to log it.
	returned bool
}

// start does not hand on the end of ctx: the parts are stopped one by one.
func start(ctx context.Context, p Part, onEnd func()) *running {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{name: p.Name, cancel: cancel, done: make(chan struct{})}
	go func() {
		r.err = p.Serve(ctx)
		close(r.done)
		onEnd()
	}()
	return r
}

// failure is why the part ended before it was asked to.
func (r *running) failure() error {
	r.returned = true
	if r.err == nil {
		return fmt.Errorf("%s: %w", r.name, errEarly)
	}
	return fmt.Errorf("%s: %w", r.name, r.err)
}

// stop returns an error only if parts are left running. Errors of parts that
// end badly while being stopped are logged: they are not the cause of anything.
func stop(log *slog.Logger, timeout time.Duration, parts []*running) error {
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		p.cancel()
		select {
		case <-p.done:
			p.logFailure(log)
		case <-expired:
			return abandon(parts[:i+1], timeout)
		}
	}
	return nil
}

func (r *running) logFailure(log *slog.Logger) {
	if r.err == nil || r.returned || errors.Is(r.err, context.Canceled) {
		return
	}
	log.Warn("part stopped with an error", "part", r.name, "error", r.err)
}

func abandon(parts []*running, timeout time.Duration) error {
	var names []string
	for _, p := range parts {
		p.cancel()
		select {
		case <-p.done:
		default:
			names = append(names, p.name)
		}
	}
	return fmt.Errorf("not stopped within %v: %s", timeout, strings.Join(names, ", "))
}
