package gotapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrClosed is returned by the methods of a closed member.
var ErrClosed = errors.New("gotapi: the member is closed")

// Error is a refusal by the server (docs/protocol.md, sections 2.2 and 6).
type Error struct {
	// Code is an HTTP status: 400 bad input, 401 and 403 not allowed, 404 not found,
	// 413 too large, 429 too many, 503 certainly not done, 504 outcome unknown.
	Code int
	// Msg is the server's text.
	Msg string
	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration
	// Foreign reports whether another program sent the answer, such as a proxy. Then Code
	// does not tell what became of the request.
	Foreign bool
}

func (e *Error) Error() string {
	if e.Foreign {
		return fmt.Sprintf("not an answer from a gotapi-ws server: %s (status %d)", e.Msg, e.Code)
	}
	return fmt.Sprintf("%s (code %d)", e.Msg, e.Code)
}

// CodeOf returns the code of the server's refusal, and 0 for every other error.
func CodeOf(err error) int {
	if refusal, ok := errors.AsType[*Error](err); ok && !refusal.Foreign {
		return refusal.Code
	}
	return 0
}

// passes reports whether a code means a temporary failure.
func passes(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return code >= http.StatusInternalServerError
}

// retryable reports whether a retry may succeed. Errors without a code come from the
// connection or from a program on the way, and a retry may.
func retryable(err error) bool {
	code := CodeOf(err)
	return code == 0 || passes(code)
}

// putOff reports whether err is an answer that a retry may change.
func putOff(err error) bool {
	_, answered := errors.AsType[*Error](err)
	return answered && retryable(err)
}

// certainlyNotDone reports whether the packet was certainly not published, so that
// even one without a uuid can be sent again. A proxy's 503 is no proof of it.
func certainlyNotDone(err error) bool {
	code := CodeOf(err)
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
}

func isUnauthorized(err error) bool { return CodeOf(err) == http.StatusUnauthorized }

// delay returns how long to wait after a number of failures in a row, the last of
// which was err: no less than the answer asks for.
func (c *Client) delay(failures int, err error) time.Duration {
	d := c.backoff.Delay(failures)
	if refusal, ok := errors.AsType[*Error](err); ok {
		d = max(d, refusal.RetryAfter)
	}
	return d
}
