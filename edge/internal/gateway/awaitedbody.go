package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/internal/quota"
)

// bodyTimeout is how long a body may take. It bounds how long a client that sends
// nothing holds a part of the budget.
const bodyTimeout = 15 * time.Second

// bodyCost is what a body that is awaited costs beside its bytes: a goroutine with
// buffers.
const bodyCost = 8 << 10

// errTooManyBodies means that too many bodies are awaited of this client, or of all.
var errTooManyBodies = errors.New("too many requests are still sending their body")

// errTooManyRequests means that too many requests are under way.
var errTooManyRequests = errors.New("too many requests at once")

// awaitedBody is the body of a request. While it is awaited, the request does not count
// as one under way: a client that sends no bodies must not keep others out. Instead it
// holds a part of the budget, of which its client has a quarter at most.
type awaitedBody struct {
	io.ReadCloser
	w        http.ResponseWriter
	requests limit.Semaphore
	inputs   *quota.Share
	key      string
	// Bytes still to come; -1: not known.
	left int64
	// Bytes of the budget that the request holds until its end; 0: it holds what its body
	// takes, until that has come.
	kept int64

	state bodyState
	held  quota.Held
	// The error of every further Read.
	err error
}

type bodyState uint8

const (
	bodyUnread bodyState = iota
	bodyAwaited
	// The request is under way again.
	bodyRead
	// It is not under way any more.
	bodyRefused
)

// awaitBody replaces the body of r. The caller has acquired underWay; release must
// follow.
func (h *Handler) awaitBody(w http.ResponseWriter, r *http.Request, underWay limit.Semaphore) (release func()) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return underWay.Release
	}
	b := &awaitedBody{
		ReadCloser: r.Body, w: w, requests: underWay, inputs: h.backends.Budget.Inputs,
		key: h.backends.Limits.Key(r, ""), left: r.ContentLength,
	}
	r.Body = b
	return b.release
}

// setClient says whose part of the budget the body of r uses, when that is known. It
// comes before the body is read.
func setClient(r *http.Request, key string) {
	if b, ok := r.Body.(*awaitedBody); ok {
		b.key = key
	}
}

// keepBody makes r hold at least n bytes of the budget from the first Read until its end.
func keepBody(r *http.Request, n int64) {
	if b, ok := r.Body.(*awaitedBody); ok {
		b.kept = n
	}
}

// keepInstead makes r, whose body has come, hold n bytes, and reports whether there are as
// many.
func keepInstead(r *http.Request, n int64) (ok bool) {
	b, ok := r.Body.(*awaitedBody)
	if !ok {
		return true
	}
	b.held.Release()
	b.held, ok = b.inputs.TryAcquire(b.key, n)
	return ok
}

// Read implements io.Reader. It takes part in the budget from the first call until the
// end.
func (b *awaitedBody) Read(p []byte) (n int, err error) {
	if b.state == bodyUnread {
		b.await()
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err = b.ReadCloser.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	if err != nil || b.left == 0 {
		b.ended(b.left == 0 || errors.Is(err, io.EOF))
		if b.state == bodyRefused {
			return 0, b.err
		}
	}
	return n, err
}

// await begins to wait for the body.
func (b *awaitedBody) await() {
	var ok bool
	if b.held, ok = b.inputs.TryAcquire(b.key, bodyCost+max(b.left, b.kept)); !ok {
		b.state, b.err = bodyRead, errTooManyBodies
		return
	}
	b.requests.Release()
	b.state = bodyAwaited
	// It fails only in tests without a connection.
	_ = http.NewResponseController(b.w).SetReadDeadline(time.Now().Add(bodyTimeout))
}

// ended makes the request one under way again. whole means that all of the body has come.
func (b *awaitedBody) ended(whole bool) {
	if b.state != bodyAwaited {
		return
	}
	if b.kept == 0 {
		b.held.Release()
	}
	if whole { // otherwise the rest must not be waited for
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Time{})
	}
	if b.requests.TryAcquire() {
		b.state = bodyRead
	} else {
		b.state, b.err = bodyRefused, errTooManyRequests
	}
}

// release ends the request.
func (b *awaitedBody) release() {
	b.held.Release()
	if b.state == bodyUnread || b.state == bodyRead {
		b.requests.Release()
	}
}
