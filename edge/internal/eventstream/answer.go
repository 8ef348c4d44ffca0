package eventstream

import (
	"net/http"
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/dialect/sse"
	"github.com/gotapi/gotapi-ws/edge/internal/httpjson"
	"github.com/gotapi/gotapi-ws/wire/header"
)

// contentType is that of server-sent events.
const contentType = "text/event-stream"

// answer is the body of an answer that goes on for as long as its stream: a ws.Sink.
type answer struct {
	w       http.ResponseWriter
	control *http.ResponseController

	mu     sync.Mutex
	closed bool
}

// newAnswer begins the answer.
func newAnswer(w http.ResponseWriter) *answer {
	a := &answer{w: w, control: http.NewResponseController(w)}
	_ = a.control.SetReadDeadline(time.Time{}) // the request has come
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx and others pass on each event
	w.WriteHeader(http.StatusOK)
	_ = a.SetWriteDeadline(time.Now().Add(endPatience))
	_, _ = a.Write(sse.Retry(0)) // an error shows in the next write
	return a
}

// Write implements ws.Sink.
func (a *answer) Write(b []byte) (n int, err error) {
	n, err = a.w.Write(b)
	if err == nil {
		err = a.control.Flush()
	}
	_ = a.SetWriteDeadline(time.Time{}) // over HTTP/2 it ends streams that write nothing
	return n, err
}

// SetWriteDeadline implements ws.Sink.
func (a *answer) SetWriteDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return http.ErrAbortHandler
	}
	return a.control.SetWriteDeadline(t)
}

// SetReadDeadline implements ws.Sink. Nothing is read.
func (a *answer) SetReadDeadline(time.Time) error { return nil }

// Close implements ws.Sink: it ends a write that is under way.
func (a *answer) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	return a.control.SetWriteDeadline(time.Unix(1, 0))
}

// release ends the use of the connection: the handler returns. What it has written leaves,
// if the client takes it.
func (a *answer) release() {
	_ = a.SetWriteDeadline(time.Now().Add(endPatience)) // it was cut, otherwise
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

// Refuse answers a request for a stream of one group as EventSource understands it, which
// gives up after any other status: with a stream that ends at once, and the time after
// which to come again.
func Refuse(w http.ResponseWriter, why *header.Refusal) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	again := time.Duration(why.RetryAfter) * time.Millisecond
	_, _ = w.Write(sse.End(why.Code, why.Msg, again)) //nolint:gosec // events, and labelled so; it fails when the client has gone
}

// writeRefusal answers with the status of a refusal.
func writeRefusal(w http.ResponseWriter, why *header.Refusal) {
	if again := time.Duration(why.RetryAfter) * time.Millisecond; again > 0 {
		httpjson.WriteRetry(w, why.Code, why.Msg, again)
		return
	}
	httpjson.WriteError(w, why.Code, why.Msg)
}

// passes reports whether a refusal passes by waiting.
func passes(why *header.Refusal) bool {
	return why.Code == http.StatusTooManyRequests || why.Code == http.StatusServiceUnavailable
}
