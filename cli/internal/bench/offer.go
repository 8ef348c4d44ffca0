package bench

import (
	"context"
	"sync"
	"time"

	gotapi "github.com/gotapi/gotapi-ws/clients/go"
)

// offer publishes until the end of the plan or of ctx, and then waits for missing acks.
func (r *run) offer(ctx context.Context) {
	until, cancel := context.WithDeadline(ctx, r.end)
	defer cancel()
	ctx, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	// Publishes under way at an interrupt still count, if they end soon.
	defer context.AfterFunc(until, func() {
		if time.Now().Before(r.end) {
			time.AfterFunc(hurry, abandon)
		}
	})()
	var working sync.WaitGroup
	for i := range r.publishers {
		if r.plan.Rate > 0 {
			working.Go(func() { r.openLoop(ctx, until, i) })
			continue
		}
		for lane := range r.plan.inFlight() {
			working.Go(func() { r.closedLoop(ctx, until, i, lane) })
		}
	}
	working.Wait()
}

// closedLoop sends the next message when the one before is answered.
func (r *run) closedLoop(ctx, until context.Context, publisher, lane int) {
	for n := lane; until.Err() == nil; n += r.plan.inFlight() {
		r.one(ctx, time.Now(), publisher, n)
	}
}

// openLoop sends messages when they are due. The publishers take turns, which spreads the
// messages evenly.
func (r *run) openLoop(ctx, until context.Context, publisher int) {
	interval := time.Duration(float64(r.plan.publishers()) / r.plan.Rate * float64(time.Second))
	first := r.begin.Add(interval * time.Duration(publisher) / time.Duration(r.plan.publishers()))
	slots := make(chan struct{}, r.plan.inFlight())
	var unanswered sync.WaitGroup
	defer unanswered.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		due := first.Add(interval * time.Duration(n))
		if !due.Before(r.end) {
			return
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-until.Done():
			r.skip(due, interval)
			return
		}
		select {
		case slots <- struct{}{}:
		case <-until.Done():
			r.skip(due, interval)
			return
		}
		unanswered.Go(func() {
			r.one(ctx, due, publisher, n)
			<-slots
		})
	}
}

// skip counts the messages that were due before the end but not sent.
func (r *run) skip(due time.Time, interval time.Duration) {
	now := time.Now() // of an interrupt: what would have been due later never was
	for ; due.Before(r.end) && due.Before(now); due = due.Add(interval) {
		if !due.Before(r.measured) {
			r.tally.unsent.Add(1)
		}
	}
}

// one publishes one message and counts its result.
func (r *run) one(ctx context.Context, due time.Time, publisher, n int) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	_, err := r.publishers[publisher].Publish(ctx, r.packet(r.uuid(due, publisher, n)))
	took := time.Since(due)
	switch {
	case due.Before(r.measured):
	case err == nil:
		r.tally.ack(took)
	case gotapi.CodeOf(err) != 0:
		r.tally.refused.Add(1)
	default:
		r.tally.unanswered.Add(1)
	}
	if err != nil && ctx.Err() == nil {
		// A server that refuses at once is not asked a million times a second.
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
