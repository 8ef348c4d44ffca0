package gotapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrClosed is what a closed member answers.
var ErrClosed = errors.New("gotapi: the member is closed")

// Error is a server's refusal (docs/protocol.md, sections 2.2 and 6).
type Error struct {
	// Code is that of HTTP: 400 bad input, 401 and 403 not allowed, 404 not there,
	// 413 too large, 429 too much, 503 certainly not done, 504 outcome unknown.
	Code int
	// Msg is the server's own words.
	Msg string
	// RetryAfter is how long the server asks to wait; 0 when it does not say.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Msg, e.Code) }

// CodeOf returns the code of a refusal, 0 for every other error.
func CodeOf(err error) int {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal.Code
	}
	return 0
}

// retryable says whether the same may succeed later. What is not a refusal is
// trouble on the way, and is.
func retryable(err error) bool {
	switch CodeOf(err) {
	case 0, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// putOff says whether the server is there and asks to come back.
func putOff(err error) bool { return CodeOf(err) != 0 && retryable(err) }

// certainlyNotDone says whether a refusal excludes that the packet went out, so
// that even one without a uuid can be sent again.
func certainlyNotDone(err error) bool {
	code := CodeOf(err)
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
}

// retryAfter is what the server asks for, 0 if it does not.
func retryAfter(err error) time.Duration {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal.RetryAfter
	}
	return 0
}
