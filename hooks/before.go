package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Action is what becomes of a packet.
type Action uint8

// The actions.
const (
	// Allow: it is published as it is.
	Allow Action = iota + 1
	// Deny: it is refused for good.
	Deny
	// Rewrite: another text is published in its place.
	Rewrite
	// Fail: nobody has said anything, and the packet is not to be published.
	Fail
	// Busy: as Fail, because too many packets wait.
	Busy
)

var actionNames = map[Action]string{Allow: "allow", Deny: "deny", Rewrite: "rewrite", Fail: "fail", Busy: "busy"}

// Verdict is what becomes of a packet, and why.
type Verdict struct {
	Action Action
	// Of Deny, for the user.
	Reason string
	// Of Rewrite: the packet to publish.
	Text string
}

const (
	// maxReason bounds what users are told, in bytes.
	maxReason = 200
	// defaultReason is for hooks that do not say why.
	defaultReason = "the message was not allowed"
	// complainEvery is how often failures are logged, at most.
	complainEvery = 10 * time.Second
)

// Before asks a webhook about packets. A nil *Before allows all.
type Before struct {
	hook    *webhook
	timeout time.Duration
	onFail  Action
	log     *slog.Logger
	metrics *metrics
	// Holds a token for each packet that is asked about.
	turns chan struct{}
	// Packets that are asked about or wait, and how many may.
	inside atomic.Int64
	most   int64
	// When a failure was last logged, Unix nanoseconds.
	complained atomic.Int64
}

// newBefore returns nil if there is no hook.
func newBefore(cfg Config, secret []byte, log *slog.Logger, m *metrics) *Before {
	if cfg.BeforeURL == "" {
		return nil
	}
	b := &Before{
		hook: newWebhook(cfg.BeforeURL, secret, cfg.Concurrency), timeout: cfg.Timeout, onFail: Fail, log: log, metrics: m,
		turns: make(chan struct{}, cfg.Concurrency), most: int64(cfg.Concurrency + cfg.Queue),
	}
	if cfg.OnFailure == failAllow {
		b.onFail = Allow
	}
	return b
}

// Ask returns what becomes of a packet, within the timeout.
func (b *Before) Ask(ctx context.Context, p *Packet) Verdict {
	if b == nil {
		return Verdict{Action: Allow}
	}
	began := time.Now()
	v := b.ask(ctx, p)
	b.metrics.asked(v.Action, time.Since(began))
	return v
}

func (b *Before) ask(ctx context.Context, p *Packet) Verdict {
	defer b.inside.Add(-1)
	if b.inside.Add(1) > b.most {
		return b.failed(ctx, Busy, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	select {
	case b.turns <- struct{}{}:
		defer func() { <-b.turns }()
	case <-ctx.Done():
		return b.failed(ctx, Busy, ctx.Err())
	}
	answer, err := b.hook.send(ctx, newEvent("before_publish", p))
	if err != nil {
		return b.failed(ctx, Fail, err)
	}
	v, err := parseVerdict(answer)
	if err != nil {
		return b.failed(ctx, Fail, err)
	}
	return v
}

// failed is the verdict when there is none. why is Fail or Busy.
func (b *Before) failed(ctx context.Context, why Action, err error) Verdict {
	b.metrics.failures.WithLabelValues(actionNames[why]).Inc()
	last, now := b.complained.Load(), time.Now().UnixNano()
	if now-last > int64(complainEvery) && b.complained.CompareAndSwap(last, now) {
		b.log.WarnContext(ctx, "the hook before publishing gives no verdict", "cause", actionNames[why], "error", err, "verdict", actionNames[b.onFail])
	}
	if b.onFail == Allow {
		return Verdict{Action: Allow}
	}
	return Verdict{Action: why}
}

// parseVerdict reads an answer; an empty one allows.
func parseVerdict(answer []byte) (Verdict, error) {
	if len(answer) == 0 {
		return Verdict{Action: Allow}, nil
	}
	var a struct {
		Action string  `json:"action"`
		Reason string  `json:"reason"`
		Packet *string `json:"packet"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return Verdict{}, fmt.Errorf("the hook's answer is not JSON: %w", err)
	}
	switch {
	case a.Action == "allow":
		return Verdict{Action: Allow}, nil
	case a.Action == "deny":
		return Verdict{Action: Deny, Reason: reason(a.Reason)}, nil
	case a.Action == "rewrite" && a.Packet != nil && *a.Packet != "":
		return Verdict{Action: Rewrite, Text: *a.Packet}, nil
	}
	return Verdict{}, fmt.Errorf("the hook's answer has no action that can be done: %q", a.Action)
}

// reason is what users are told: not too long, and whole characters.
func reason(s string) string {
	if s == "" {
		return defaultReason
	}
	for len(s) > maxReason || !utf8.ValidString(s) {
		s = s[:min(maxReason, len(s)-1)]
	}
	return s
}
