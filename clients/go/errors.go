package gotapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrClosed is the error of a closed member.
var ErrClosed = errors.New("gotapi: the member is closed")

// Error is a refusal (docs/protocol.md, sections 2.2 and 6).
type Error struct {
	// Code is an HTTP status: 400 bad input, 401 and 403 not allowed, 404 not found,
	// 413 too large, 429 too many, 503 certainly not done, 504 outcome unknown.
	Code int
	// Msg is the text of the server.
	Msg string
	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration
	// Foreign reports whether the answer came from another program, such as a proxy, since
	// it is not one of a gotapi-ws server. Then the code says nothing about the request.
	Foreign bool
}

func (e *Error) Error() string {
	if e.Foreign {
		return fmt.Sprintf("not an answer of a gotapi-ws server: %s (status %d)", e.Msg, e.Code)
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

// passes reports whether a code tells of trouble that passes: the server's own, or of the
// moment.
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

// putOff reports whether there was an answer, and another one may follow.
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
