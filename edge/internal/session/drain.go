package session

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// Drain accepts no more connections and ends the sessions with 1001, spread
// over a time so that their clients do not come back all at once. A session's
// publishes are settled first. It returns when all have ended; when ctx ends
// before, it cuts off those that are left and returns ctx's error.
func (s *Server) Drain(ctx context.Context, over time.Duration) error {
	defer s.cancel()
	defer s.flusher.Wait()
	s.admission.close()
	ended := make(chan struct{})
	go func() {
		s.admission.wait()
		close(ended)
	}()
	backoff.Spread(ctx, over, s.sessions.all(), (*connection).goAway)
	if waitFor(ctx, ended, s.opts.SettleTime) {
		return nil
	}
	for _, c := range s.sessions.all() {
		c.out.Close(errGoingAway) // no result will come any more
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	for _, c := range s.sessions.all() {
		c.out.Abort(errGoingAway)
	}
	<-ended
	return ctx.Err()
}

// waitFor waits for done, but not longer than d and ctx. It reports whether done
// came.
func waitFor(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}
