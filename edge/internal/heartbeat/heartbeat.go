// Package heartbeat spreads calls over the history services that answer.
//
// A service whose machine or network is gone is noticed by TCP and by gRPC's
// keepalive, but a process that hangs keeps its connections open, and keepalive
// cannot ask more often than every 10 s. So each connection has a heartbeat: a
// call of the gRPC health service, which a history service answers from memory:
// a slow Redis does not delay it. A service that does not answer within Patience
// is silent: while another one is well, it gets no calls, and those that it has
// are taken away from it, with ErrSilent. Unary calls are then made again
// elsewhere; they must bear being made twice.
//
// While no other service is well, nothing is taken away: what is slow may still
// answer.
package heartbeat

import (
	"context"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	// beatEvery is how often a service is asked, and how often its silence is
	// looked at.
	beatEvery = 250 * time.Millisecond
	// misses is how many looks in a row find a beat without an answer before the
	// service counts as silent. They are counted, and no deadline is compared, so
	// that an edge which was stopped itself finds the answer that came meanwhile.
	misses = 6
	// beatTimeout bounds one beat; keepalive has found a dead connection by then.
	beatTimeout = 20 * time.Second

	// Patience is the longest time from the moment that a service begins to hang
	// until it is silent.
	Patience = misses * beatEvery
)

// beat asks a service until ctx ends, and reports when it falls silent and when
// it is heard again. It returns when the last question has ended, too.
func beat(ctx context.Context, ask func(context.Context) error, report func(silent bool)) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	answers := make(chan bool)
	asked, missed := false, 0
	for {
		select {
		case <-ctx.Done():
			if asked {
				<-answers // it has the same context
			}
			return
		case heard := <-answers:
			asked = false
			if heard {
				missed = 0
				report(false)
			}
		case <-tick.C:
			if missed++; missed == misses {
				report(true)
			}
			if !asked {
				asked = true
				go func() { answers <- answered(ctx, ask) }()
			}
		}
	}
}

// answered asks once. An error is an answer as well, unless it says that there
// was none: a connection that is lost is not the heartbeat's concern.
func answered(ctx context.Context, ask func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	_ = ask(ctx)
	return ctx.Err() == nil
}

func askHealth(client healthv1.HealthClient) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
		return err
	}
}
