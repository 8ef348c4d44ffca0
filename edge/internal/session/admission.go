package session

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/ws"
)

// admission decides which requests may become sessions, answers those that may not,
// and counts the sessions.
type admission struct {
	reloadable atomic.Pointer[reloadable]
	limits     *limit.Limits
	metrics    *metrics
	// Permits that are held.
	held sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   int
}

// reloadable is what Reconfigure replaces. It is for connections that come from then
// on; logEnds is for all.
type reloadable struct {
	upgrader *ws.Upgrader
	// The largest message that upgrader lets through.
	maxMessage int
	rate       *limit.RateLimiter
	// 0: no limit.
	maxConnections int
	queue          ws.Limits
	// Whether the end of each connection is worth a line at level Info.
	logEnds bool
}

func newReloadable(opts *Options) *reloadable {
	return &reloadable{
		upgrader:       ws.NewUpgrader(ws.Options{Origin: opts.Origin, MaxMessage: opts.MaxMessage}),
		maxMessage:     opts.MaxMessage,
		rate:           limit.NewRateLimiter(opts.UpgradeRate),
		maxConnections: opts.MaxConnections,
		queue:          opts.Queue,
		logEnds:        opts.LogEnds,
	}
}

func newAdmission(opts *Options, m *metrics) *admission {
	a := &admission{limits: opts.Limits, metrics: m}
	a.reloadable.Store(newReloadable(opts))
	return a
}

// permit lets a request become a session. It must be released when the session has
// ended, or did not begin.
type permit struct {
	admission *admission
	// The settings when it was admitted.
	*reloadable
	limits *limit.Connection
}

// refusal is why a connection is not accepted now, as the client reads it.
type refusal string

const (
	refusedNot      refusal = ""
	refusedDraining refusal = "the server is going down"
	refusedFull     refusal = "too many connections"
	refusedRate     refusal = "too many connections at once"
	refusedGroup    refusal = "the group is unavailable now"
)

// admit returns a permit for r, a request of that user, or answers r and returns nil.
func (a *admission) admit(w http.ResponseWriter, r *http.Request, userName string) *permit {
	now := a.reloadable.Load()
	if !now.upgrader.Check(w, r) || !a.waitForRate(r.Context(), w, now.rate) {
		return nil
	}
	limits := a.limits.Connect(r, userName)
	if limits == nil {
		httpjson.WriteRetry(w, http.StatusTooManyRequests, limit.TooManyConnections, limit.RetryConnections)
		return nil
	}
	if why := a.count(now.maxConnections); why != refusedNot {
		limits.Release()
		a.unavailable(w, why, time.Second)
		return nil
	}
	return &permit{admission: a, reloadable: now, limits: limits}
}

// waitForRate waits until another connection may come, and reports whether it may. If
// that would take too long, it answers the request.
func (a *admission) waitForRate(ctx context.Context, w http.ResponseWriter, rate *limit.RateLimiter) bool {
	a.metrics.waitingUpgrades.Inc()
	again, err := rate.Wait(ctx)
	a.metrics.waitingUpgrades.Dec()
	if again > 0 {
		a.unavailable(w, refusedRate, again)
	}
	return again == 0 && err == nil
}

// unavailable answers 503, with the time after which to come again.
func (a *admission) unavailable(w http.ResponseWriter, why refusal, again time.Duration) {
	a.metrics.refusedUpgrades[why].Inc()
	// Clients that are refused at one moment must not all come back at one.
	again += rand.N(2 * time.Second)
	httpjson.WriteRetry(w, http.StatusServiceUnavailable, string(why), again)
}

// count counts one more connection, or returns why there may not be one.
func (a *admission) count(maxConnections int) refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return refusedDraining
	case maxConnections > 0 && a.open >= maxConnections:
		return refusedFull
	}
	a.open++
	a.held.Add(1)
	return refusedNot
}

// release counts the connection out.
func (p *permit) release() {
	p.limits.Release()
	a := p.admission
	a.mu.Lock()
	a.open--
	a.mu.Unlock()
	a.held.Done()
}

// close admits nothing more.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

func (a *admission) isClosed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// wait blocks until no permit is held. It comes after close.
func (a *admission) wait() { a.held.Wait() }
