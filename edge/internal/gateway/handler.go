package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/eventstream"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/pages"
	"github.com/gotapi/gotapi-ws/internal/quota"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// Handler serves everything that comes over HTTP.
type Handler struct {
	backends   Backends
	reloadable atomic.Pointer[reloadable]
	log        *slog.Logger
	metrics    *metrics
	endpoints  map[string]endpoint
	requests   limit.Semaphore
	streams    limit.Semaphore
	// The number of the last publication over HTTP.
	published atomic.Uint32
}

// New returns a Handler. The only error is a fault of the generated code.
func New(ctx context.Context, b Backends, opts Options, log *slog.Logger, reg prometheus.Registerer) (*Handler, error) {
	if opts.MaxRequests == 0 {
		opts.MaxRequests = defaultRequests
	}
	if opts.MaxStreams == 0 {
		opts.MaxStreams = defaultStreams
	}
	if b.Limits == nil {
		b.Limits = limit.New(limit.Settings{}, nil, prometheus.NewRegistry())
	}
	if b.Budget == nil {
		b.Budget = limit.NewBudget(quota.MemoryLimit(), prometheus.NewRegistry())
	}
	mapped, err := newMapped(ctx, b.History, log)
	if err != nil {
		return nil, err
	}
	requests, pageLimits := limit.NewSemaphore(opts.MaxRequests), newPageLimits(b.Budget)
	history := serveHistory(pages.New(b.History, marshalHistory, opts.PageCache, reg), pageLimits, b.Limits, log)
	h := &Handler{backends: b, log: log, requests: requests, streams: limit.NewSemaphore(opts.MaxStreams), metrics: newMetrics(reg, requests, pageLimits)}
	h.Reconfigure(opts)
	h.endpoints = h.newEndpoints(history, mapped)
	return h, nil
}

// nosniff keeps browsers from finding HTML in what users wrote.
var nosniff = []string{"nosniff"}

// ServeHTTP serves a request unless too many are under way, or come from its client.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, report := h.recording(w, r)
	defer report()
	w.Header()["X-Content-Type-Options"] = nosniff
	if isLiteral(r) && r.URL.Path == statusPath { // probes are answered in any case
		h.counted("status", w, r, h.withCORS(serveStatus))
		return
	}
	underWay := h.requests
	if isStream(r) {
		underWay = h.streams
	}
	if !underWay.TryAcquire() {
		h.refuse(w, r, http.StatusServiceUnavailable, 0, "too many requests at once")
		return
	}
	defer h.awaitBody(w, r, underWay)()
	if again := h.backends.Limits.Request(r, isUpgrade(r)); again > 0 {
		h.refuse(w, r, http.StatusTooManyRequests, again, "too many requests of this client")
		return
	}
	h.route(w, r)
}

// refuse answers a request that is not looked at any further. again is after what time to
// come again; 0: that is not known.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, code int, again time.Duration, msg string) {
	h.counted("refused", w, r, h.withCORS(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case wantsStream(r):
			eventstream.Refuse(w, &header.Refusal{Code: code, Msg: msg, RetryAfter: again.Milliseconds()})
		case again > 0:
			writeTooMuch(w, again, msg)
		default:
			httpjson.WriteError(w, code, msg)
		}
	}))
}

// writeTooMuch answers 429, with the time after which to come again.
func writeTooMuch(w http.ResponseWriter, again time.Duration, msg string) {
	httpjson.WriteRetry(w, http.StatusTooManyRequests, msg, again)
}
