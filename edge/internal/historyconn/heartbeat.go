package historyconn

import (
	"context"
	"time"
)

const (
	// beatEvery is how often a service is asked, and how often its silence is
	// looked at.
	beatEvery = 250 * time.Millisecond
	// misses is how many looks in a row find a beat without an answer before the
	// service counts as silent. Looks are counted instead of comparing a deadline, so
	// that an edge that was stopped itself finds the answer that came meanwhile.
	misses = 6
	// beatTimeout bounds one beat; keepalive has found a dead connection by then.
	beatTimeout = 20 * time.Second

	// Patience is the longest time from the moment that a service begins to hang
	// until it is silent.
	Patience = misses * beatEvery
)

// watch asks a service until ctx ends, and reports when it falls silent and when it
// answers again. It returns when the last question has ended, too.
func watch(ctx context.Context, ask func(context.Context) error, report func(silent bool)) {
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
		case answered := <-answers:
			asked = false
			if answered {
				missed = 0
				report(false)
			}
		case <-tick.C:
			if missed++; missed == misses {
				report(true)
			}
			if !asked {
				asked = true
				go func() { answers <- hasAnswered(ctx, ask) }()
			}
		}
	}
}

// hasAnswered asks once, and reports whether an answer came. An error is an answer,
// unless it says that there was none: a lost connection is not the heartbeat's concern.
func hasAnswered(ctx context.Context, ask func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	_ = ask(ctx)
	return ctx.Err() == nil
}
