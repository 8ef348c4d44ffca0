package gateway

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

const (
	// defaultRequests is the bound of requests under way: beyond their answers'
	// time, each holds a goroutine, buffers, and up to a message.
	defaultRequests = 10_000
	// maxPages bounds the pages of history that are fetched or sent at one time:
	// each may be of 8 MiB, twice.
	maxPages = 64
	// pagePatience is how long a request may wait for its turn at a page.
	pagePatience = 2 * time.Second
)

// nosniff keeps browsers from finding HTML in what users wrote.
var nosniff = []string{"nosniff"}

// ServeHTTP serves a request if not too many are under way.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Content-Type-Options"] = nosniff
	if r.URL.Path == statusPath { // a probe is to be answered all the same
		h.counted("status", w, r, h.public(serveStatus))
		return
	}
	if !h.requests.Try() {
		h.counted("refused", w, r, h.public(func(w http.ResponseWriter, _ *http.Request) {
			WriteError(w, http.StatusServiceUnavailable, "too many requests at once")
		}))
		return
	}
	defer h.requests.Free()
	if again := h.backends.Limits.Request(r, isUpgrade(r)); again > 0 {
		h.counted("refused", w, r, h.public(func(w http.ResponseWriter, _ *http.Request) {
			writeTooMuch(w, again, "too many requests of this client")
		}))
		return
	}
	h.route(w, r)
}

// writeTooMuch answers 429, and when to come again.
func writeTooMuch(w http.ResponseWriter, again time.Duration, msg string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(again.Seconds()))))
	WriteError(w, http.StatusTooManyRequests, msg)
}

// inTurn bounds the pages under way.
func (h *Handler) inTurn(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.pages.Wait(r.Context(), pagePatience) {
			WriteError(w, http.StatusServiceUnavailable, "too many pages of history are asked for")
			return
		}
		defer h.pages.Free()
		next.ServeHTTP(w, r)
	}
}
