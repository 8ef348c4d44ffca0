// Package token keeps the token of a client and renews it when the server stops
// accepting it.
package token

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Reason is why a client asks for a token.
type Reason uint8

// The reasons.
const (
	// First: the client has none yet.
	First Reason = iota + 1
	// Expired: the server ended a connection because its token has expired.
	Expired
	// Refused: the server has refused the last token.
	Refused
)

var reasons = [...]string{First: "first", Expired: "expired", Refused: "refused"}

func (r Reason) String() string {
	if int(r) < len(reasons) && reasons[r] != "" {
		return reasons[r]
	}
	return "unknown"
}

// Source returns a token. It must return when ctx ends.
type Source func(ctx context.Context, why Reason) (string, error)

// timeout bounds one call of a Source.
const timeout = 15 * time.Second

// Tokens holds the token of one client. It is safe for concurrent use.
type Tokens struct {
	source Source
	// A semaphore: it holds a token of its own while source is called.
	asking chan struct{}

	mu      sync.Mutex
	current string
	// Why current must be replaced; 0: it is good.
	why Reason
}

// New returns Tokens that ask a source; if it is nil, the token is always text.
func New(text string, source Source) *Tokens {
	if source == nil {
		return &Tokens{current: text}
	}
	return &Tokens{source: source, asking: make(chan struct{}, 1), why: First}
}

// Current returns the token. It asks the source without a token that the server
// accepts; concurrent callers wait for the same call.
func (t *Tokens) Current(ctx context.Context) (string, error) {
	if text, why := t.state(); why == 0 {
		return text, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	text, why := t.state()
	if why == 0 {
		return text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	text, err := t.source(ctx, why)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current, t.why = text, 0
	return text, nil
}

func (t *Tokens) state() (string, Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current, t.why
}

// Reject notes that the server does not accept a token, and reports whether the source can
// give another one.
func (t *Tokens) Reject(text string, why Reason) bool {
	if t.source == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == 0 && t.current == text {
		t.why = why
	}
	return true
}

// Use calls try with the token. If the server refuses it, Use calls try once more with a new
// one. A second refusal is final, and so is the first if the source returns the same token
// again.
func (t *Tokens) Use(ctx context.Context, isRefusal func(error) bool, try func(text string) error) error {
	text, err := t.Current(ctx)
	if err != nil {
		return err
	}
	err = try(text)
	if !isRefusal(err) || !t.Reject(text, Refused) {
		return err
	}
	renewed, failure := t.Current(ctx)
	switch {
	case failure != nil:
		return failure
	case renewed == text:
		return err
	}
	return try(renewed)
}
