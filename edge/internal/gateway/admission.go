package gateway

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// defaultRequests is the bound of requests under way: beyond their answers'
// time, each holds a goroutine, buffers, and up to a message.
const defaultRequests = 10_000

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
