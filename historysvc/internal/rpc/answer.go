package rpc

import "context"

// Answer is the answer to a unary call, and what it occupies until its caller has taken
// it. It is for the goroutine of the call.
type Answer struct{ release []func() }

type answerKey struct{}

// WithAnswer returns a context for the handler of a call, and the call's Answer.
func WithAnswer(ctx context.Context) (context.Context, *Answer) {
	a := new(Answer)
	return context.WithValue(ctx, answerKey{}, a), a
}

// ReleaseWithAnswer calls release when the caller of ctx has received its answer, or the
// call has ended without one. For a call that does not come over a network it calls release
// at once.
func ReleaseWithAnswer(ctx context.Context, release func()) {
	a, ok := ctx.Value(answerKey{}).(*Answer)
	if !ok {
		release()
		return
	}
	a.release = append(a.release, release)
}

// Occupies reports whether there is something to release.
func (a *Answer) Occupies() bool { return len(a.release) > 0 }

// Release releases what the answer occupies.
func (a *Answer) Release() {
	for _, release := range a.release {
		release()
	}
}
