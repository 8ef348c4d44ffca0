package relay

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// An edge moves when another history service would still have no more streams than this
// edge's after the move. Its own service must let it go, which lets a few go at a time
// (docs/adr/0022). A move has five steps:
//
//	1  open a stream there, and a little later all channels, from where they are
//	2  wait until all are attached, and a little longer: now everything comes twice.
//	   Frames of the new stream wait, frames of the old one are handed on
//	3  write no more publications, until the written ones have their results
//	4  change streams: hand on what has waited on the new one and did not come on the
//	   old one, and write publications there
//	5  cancel the old one
//
// If anything fails before step 4, the edge keeps its stream.
const (
	// How often, on average, an edge looks whether it should ask for a move.
	lookEvery = 2 * time.Second
	// How long it rests after a move, or an attempt.
	restAfterMove = 5 * time.Second
	// How long the steps before the fourth may take together; the service forgets that
	// it has let the edge go after 15 s (relay.proto).
	moveTimeout = 10 * time.Second
	// How far the two services may be apart. A packet that is not stored may come on the new
	// stream this long after the old one. If its channel was not open there yet, it may come
	// on the old one this long after that.
	overlap = 500 * time.Millisecond
	// How long publications wait for results in the third step, at most.
	holdTime = 250 * time.Millisecond
)

var (
	errNowhere    = errors.New("no other history service")
	errNoResults  = errors.New("no results in time for publications that cannot be repeated")
	errStreamOver = errors.New("stream ended")
)

// stay serves l, and the streams that it moves to. It returns the last one when that
// is over, or about to be.
func (c *Client) stay(leaving context.Context, l *link, h Handler) *link {
	look := time.NewTimer(someTime(lookEvery))
	defer look.Stop()
	for {
		select {
		case <-l.ended:
			return l
		case <-look.C:
			look.Reset(someTime(lookEvery))
			c.forgetSeen(l)
			c.ask(l)
			continue
		case <-l.mayMove:
		}
		next, err := c.move(leaving, l, h)
		c.logMove(leaving, next, err)
		if err == nil {
			l = next
		}
		look.Reset(restAfterMove + someTime(lookEvery))
	}
}

// someTime returns a time around d, so that edges do not act together.
func someTime(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// ask asks the service whether the edge may move, if it would be better elsewhere.
func (c *Client) ask(l *link) {
	others, ok := l.seat.Surplus()
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.wish = &relayv1.Move{Streams: uint32(others)}
	l.wakeWriter()
}

func (c *Client) logMove(ctx context.Context, to *link, err error) {
	if err != nil {
		c.metrics.moves[false].Inc()
		c.log.InfoContext(ctx, "move the relay to another history service: keep the present one", "error", err)
		return
	}
	c.metrics.moves[true].Inc()
	address := ""
	for _, s := range to.seat.Services() {
		if s.Mine {
			address = s.Address
		}
	}
	c.log.InfoContext(ctx, "relay moved to a history service with fewer edges", "address", address)
}

// move leaves l for a stream at another service, and returns that. After an error
// everything is as it was.
func (c *Client) move(leaving context.Context, l *link, h Handler) (next *link, err error) {
	seat := l.seat.Elsewhere()
	if seat == nil {
		return nil, errNowhere
	}
	ctx, cancel := context.WithTimeout(leaving, moveTimeout)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)() // the end of the old stream ends the attempt
	next, err = c.connect(ctx, leaving, seat)
	if err != nil {
		return nil, err
	}
	next.early = newEarly()
	c.setNext(next)
	c.start(leaving, next, h)
	if err := c.prepare(ctx, l, next, h); err != nil {
		c.abandon(l, next)
		return nil, err
	}
	l.cancel()
	<-l.ended
	return next, nil
}

func (c *Client) setNext(next *link) {
	c.handling.Lock()
	defer c.handling.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = next
}

// abandon ends an attempt.
func (c *Client) abandon(l, next *link) {
	c.setNext(nil)
	c.mu.Lock()
	c.held = false
	c.mu.Unlock()
	l.wakeWriter()
	next.cancel()
	<-next.ended
}

// prepare makes the steps up to the fourth.
func (c *Client) prepare(ctx context.Context, l, next *link, h Handler) error {
	// What comes on the old stream is noted from now on.
	if err := backoff.Sleep(ctx, overlap); err != nil {
		return err
	}
	if err := c.attachAll(ctx, l, next, h); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, overlap); err != nil {
		return err
	}
	if err := c.attachAll(ctx, l, next, h); err != nil { // those of groups that are new
		return err
	}
	c.hold(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.change(l, next, h)
}

// attachAll opens the channels of l on next, and waits until all are attached.
func (c *Client) attachAll(ctx context.Context, l, next *link, h Handler) error {
	select {
	case <-c.openAll(l, next, h):
		return nil
	case <-next.ended:
		return errors.Join(errStreamOver, next.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openAll opens the channels of l that are not open on next, and returns a channel that
// is closed when all are attached. Those whose position is not known have to wait for
// the change.
func (c *Client) openAll(l, next *link, h Handler) (attached <-chan struct{}) {
	c.handling.Lock()
	defer c.handling.Unlock()
	channels := h.Channels()
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(channels, func(_ uint32, c Channel) bool { return c.At == nil })
	next.early.await(openMissing(l.channels, next, channels))
	return next.early.attached()
}

// openMissing opens on next what is open on the stream before it, and returns that. The
// caller holds mu.
func openMissing(before map[uint32]struct{}, next *link, channels map[uint32]Channel) (opened []uint32) {
	for _, id := range slices.Sorted(maps.Keys(channels)) {
		_, open := next.channels[id]
		if _, wanted := before[id]; open || !wanted {
			continue
		}
		of := channels[id]
		next.open(&relayv1.Interest{Channel: id, Group: string(of.Group), From: encodePosition(of.At)})
		opened = append(opened, id)
	}
	return opened
}

// hold makes publications wait, and returns when the written ones have their results, or
// after holdTime.
func (c *Client) hold(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	c.mu.Lock()
	c.held = true
	if c.list.allAnswered() {
		c.mu.Unlock()
		return
	}
	c.answered = make(chan struct{})
	answered := c.answered
	c.mu.Unlock()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// change puts next in the place of l. Messages without a result are written again:
// the service stores each once, and in their order, whichever of the two streams brings
// the first copy.
func (c *Client) change(l, next *link, h Handler) error {
	c.handling.Lock()
	defer c.handling.Unlock()
	if next.ctx.Err() != nil {
		return errStreamOver
	}
	channels := h.Channels()
	c.mu.Lock()
	if !c.list.mayBeRewritten() {
		c.mu.Unlock()
		return errNoResults
	}
	c.list.rewind(l.sent)
	openMissing(l.channels, next, channels)
	c.link, c.next, c.held = next, nil, false
	c.mu.Unlock()
	early := next.early
	next.early = nil
	for _, frame := range early.rest(channels) {
		attach(h, frame.GetAttached())
		c.deliver(h, frame.GetDeliveries())
	}
	next.seen = early.seen // the new one may be behind the old one
	next.wakeWriter()
	return nil
}

// forgetSeen ends the search for what came on the stream before l, some seconds after
// the change: what did not come by then does not.
func (c *Client) forgetSeen(l *link) {
	c.handling.Lock()
	defer c.handling.Unlock()
	l.seen = nil
}
