// Package bench measures a server from outside: acks per second, how long acks
// and deliveries take, and whether all deliveries come.
//
// There are two ways to offer load, and they answer different questions.
//
// Closed loop (Rate 0): each publisher keeps InFlight messages unacked and sends the next
// when one is acked. It finds the highest throughput. Its latencies are those of
// clients that wait for a slow server, and so send it less.
//
// Open loop (Rate above 0): messages are due at fixed times, whether the server
// keeps up or not, as those of people are. Latencies are counted from when a message
// was due, not from when it was sent: a server that hangs for a second delays
// everything that was due in that second, and the figures say so (no coordinated omission).
package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// Plan describes a measurement.
type Plan struct {
	// Number of groups, and of publishers and subscribers in each. Each publisher and
	// subscriber has its own connection.
	Groups, Publishers, Subscribers int
	// Bytes of a packet.
	Size int
	// Messages a second, of all publishers together; 0: closed loop.
	Rate float64
	// Closed loop: unacked messages of each publisher. Open loop: their limit; further
	// messages wait, and the wait counts as latency. 0: 16, or 1000 in the open loop.
	InFlight int
	// How long to measure, and how long to publish before that.
	Duration, Warmup time.Duration
	// The groups' names are Prefix, a slash, and a number.
	Prefix string
}

// Publisher sends packets to one group and waits for their acks.
type Publisher interface {
	Publish(ctx context.Context, packet []byte) (gotapi.Published, error)
	Close()
}

// Listener receives a group's events.
type Listener interface {
	Next(ctx context.Context) (gotapi.Event, error)
	Close()
}

// Target is the server to be measured.
type Target struct {
	Publisher func(group string) (Publisher, error)
	Listen    func(group string) (Listener, error)
}

// MinSize is the smallest size of a packet that holds the uuid of a measurement.
const MinSize = 96

// Times of what surrounds a measurement.
const (
	connectTimeout = 30 * time.Second
	// How long deliveries may take to arrive after the last ack.
	grace = 5 * time.Second
	// How long acks and deliveries may take to arrive after an interrupt.
	hurry = time.Second
	// How long an ack may take.
	ackTimeout = 30 * time.Second
	// Connections that are opened at the same time.
	opening = 64
)

// Validate returns the first error of the plan, or nil.
func (p Plan) Validate() error {
	switch {
	case p.Groups < 1 || p.Publishers < 1 || p.Subscribers < 0:
		return errors.New("--groups, --publishers: must be at least 1; --subscribers: must not be negative")
	case p.Groups*(p.Publishers+p.Subscribers) > 100_000:
		return errors.New("--groups, --publishers, --subscribers: more than 100000 connections")
	case p.Size < MinSize || p.Size > 1<<20:
		return fmt.Errorf("--size: must be %d to %d", MinSize, 1<<20)
	case p.Rate < 0 || p.Rate > 1e6:
		return errors.New("--rate: must be 0 to 1000000")
	case p.InFlight < 0 || p.InFlight > 1000:
		return errors.New("--in-flight: must be 0 to 1000")
	case p.Duration <= 0 || p.Warmup < 0:
		return errors.New("--duration: must be above 0; --warmup: must not be negative")
	}
	return nil
}

func (p Plan) inFlight() int {
	switch {
	case p.InFlight > 0:
		return p.InFlight
	case p.Rate > 0:
		return 1000
	default:
		return 16
	}
}

func (p Plan) publishers() int { return p.Groups * p.Publishers }

// run is one measurement.
type run struct {
	plan   Plan
	target Target
	id     string
	tally  tally

	publishers []Publisher
	listeners  []Listener

	// Load is offered from begin on, measured from measured on, and ends at end.
	begin, measured, end time.Time
}

// Run measures until plan.Duration is over or ctx ends, and returns the results. It calls
// watch twice a second with the results so far; watch must not block.
func Run(ctx context.Context, plan Plan, target Target, watch func(Report)) (Report, error) {
	if err := plan.Validate(); err != nil {
		return Report{}, err
	}
	r := &run{plan: plan, target: target, id: strconv.FormatInt(time.Now().UnixNano(), 36)}
	defer r.close()
	if err := r.connect(ctx); err != nil {
		return Report{}, err
	}
	r.begin = time.Now()
	r.measured = r.begin.Add(plan.Warmup)
	r.end = r.measured.Add(plan.Duration)

	var listeners sync.WaitGroup
	listen, stopListening := context.WithCancel(context.WithoutCancel(ctx))
	defer listeners.Wait()
	defer stopListening()
	for _, l := range r.listeners {
		listeners.Go(func() { r.listen(listen, l) })
	}
	stopWatching := r.watch(watch)
	r.offer(ctx)
	stopped := time.Now()
	r.awaitDeliveries(ctx)
	stopWatching()
	return r.report(min(stopped.Sub(r.measured), plan.Duration)), nil
}

func (r *run) close() {
	var all errgroup.Group
	all.SetLimit(opening)
	for _, p := range r.publishers {
		if p != nil {
			all.Go(func() error { p.Close(); return nil })
		}
	}
	for _, l := range r.listeners {
		if l != nil {
			all.Go(func() error { l.Close(); return nil })
		}
	}
	_ = all.Wait()
}

// connect opens all connections and waits until the listeners are connected.
func (r *run) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	p := r.plan
	r.publishers = make([]Publisher, p.publishers())
	r.listeners = make([]Listener, p.Groups*p.Subscribers)
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(opening)
	for i := range r.listeners {
		work.Go(func() error {
			l, err := r.target.Listen(r.group(i / p.Subscribers))
			if err != nil {
				return err
			}
			r.listeners[i] = l
			return connected(ctx, l)
		})
	}
	for i := range r.publishers {
		work.Go(func() error {
			to, err := r.target.Publisher(r.group(i / p.Publishers))
			r.publishers[i] = to
			return err
		})
	}
	return work.Wait()
}

func connected(ctx context.Context, l Listener) error {
	for {
		e, err := l.Next(ctx)
		switch {
		case err != nil:
			return err
		case e.Kind == gotapi.Connected:
			return nil
		case e.Kind == gotapi.Disconnected:
			return e.Err
		}
	}
}

func (r *run) group(i int) string { return r.plan.Prefix + "/" + strconv.Itoa(i) }

// uuid returns the uuid of a message: the run, when the message was due (nanoseconds after
// the beginning), its publisher and its number.
func (r *run) uuid(due time.Time, publisher, n int) string {
	return fmt.Sprintf("%s.%d.%d.%d", r.id, due.Sub(r.begin).Nanoseconds(), publisher, n)
}

// due returns when the message with this uuid was due, if it is one of this run.
func (r *run) due(uuid string) (time.Time, bool) {
	id, rest, _ := strings.Cut(uuid, ".")
	nanos, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseInt(nanos, 10, 64)
	return r.begin.Add(time.Duration(n)), err == nil && id == r.id
}

// packet is a data packet of the planned size.
func (r *run) packet(uuid string) []byte {
	const head, middle, tail = `{"type":2,"uuid":"`, `","body":{"data":"`, `"}}`
	b := make([]byte, 0, max(r.plan.Size, MinSize))
	b = append(append(append(b, head...), uuid...), middle...)
	for len(b) < r.plan.Size-len(tail) {
		b = append(b, 'x')
	}
	return append(b, tail...)
}

// listen counts what comes until ctx ends.
func (r *run) listen(ctx context.Context, l Listener) {
	for {
		e, err := l.Next(ctx)
		if err != nil {
			return
		}
		switch e.Kind {
		case gotapi.Message:
			if due, ours := r.due(e.UUID); ours && !due.Before(r.measured) {
				r.tally.delivered(time.Since(due))
			}
		case gotapi.Disconnected:
			r.tally.disconnections.Add(1)
		case gotapi.Gap:
			r.tally.gaps.Add(1)
		}
	}
}

// awaitDeliveries waits until every acked message was delivered, at most for grace.
func (r *run) awaitDeliveries(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	interrupted := ctx.Done()
	for r.tally.deliveries.Load() < r.tally.acked.Load()*int64(r.plan.Subscribers) {
		select {
		case <-tick.C:
		case <-timeout.C:
			return
		case <-interrupted:
			// After an interrupt the summary is due soon, but what is under way counts.
			timeout.Reset(hurry)
			interrupted = nil
		}
	}
}

// watch shows the counts twice a second until the function it returns is called.
func (r *run) watch(show func(Report)) (stop func()) {
	if show == nil {
		return func() {}
	}
	done := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(r.report(max(time.Since(r.measured), 0)))
			case <-done:
				return
			}
		}
	})
	return func() { close(done); showing.Wait() }
}
