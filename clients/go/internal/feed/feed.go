// Package feed passes events from a goroutine, which it owns, to another one, with a bound.
package feed

import "context"

// Feed is a goroutine and the events that it has put.
type Feed[E any] struct {
	events chan E
	stop   context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	err    error         // why; readable after done
}

// Put waits until there is room for an event, or ctx ends.
type Put[E any] func(ctx context.Context, e E) error

// Start runs work in a goroutine of its own, until Close or until work returns. At most
// bound events wait; then Put does.
func Start[E any](bound int, work func(ctx context.Context, put Put[E]) error) *Feed[E] {
	ctx, stop := context.WithCancel(context.Background())
	f := &Feed[E]{events: make(chan E, bound), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer stop()
		f.err = work(ctx, f.put)
	}()
	return f
}

func (f *Feed[E]) put(ctx context.Context, e E) error {
	select {
	case f.events <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the work and waits until it has ended.
func (f *Feed[E]) Close() {
	f.stop()
	<-f.done
}

// Done is closed when the work has ended.
func (f *Feed[E]) Done() <-chan struct{} { return f.done }

// Err is why the work has ended; it is for after Done.
func (f *Feed[E]) Err() error { return f.err }

// Next takes the next event. When the work has ended, what it has put comes
// before its error.
func (f *Feed[E]) Next(ctx context.Context) (E, error) {
	select {
	case e := <-f.events:
		return e, nil
	case <-f.done:
		select {
		case e := <-f.events:
			return e, nil
		default:
			var none E
			return none, f.err
		}
	case <-ctx.Done():
		var none E
		return none, ctx.Err()
	}
}
