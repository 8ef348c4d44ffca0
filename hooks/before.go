package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/access"
)

// action is what becomes of a packet.
type action uint8

const (
	// allow: it is published as it is.
	allow action = iota + 1
	// deny: it is refused for good.
	deny
	// rewrite: another text is published in its place.
	rewrite
	// fail: the hook did not decide, and the packet is not published.
	fail
	// busy: as fail, because too many packets wait.
	busy
)

var actionNames = map[action]string{allow: "allow", deny: "deny", rewrite: "rewrite", fail: "fail", busy: "busy"}

// verdict is what becomes of a packet, and why.
type verdict struct {
	action action
	// Of deny, for the user.
	reason string
	// Of rewrite: the packet to publish.
	text string
}

// refusals are the errors of the verdicts that refuse a packet.
var refusals = map[action]access.DeniedError{
	deny: {Status: http.StatusForbidden, Reason: access.RefusedByHook, Msg: "the message was not allowed"},
	busy: {Status: http.StatusTooManyRequests, Reason: access.HookBusy, Msg: "too much is waiting to be checked"},
	fail: {Status: http.StatusServiceUnavailable, Reason: access.HookUnavailable, Msg: "the message cannot be checked now"},
}

// refusal returns the error of a verdict; nil if the packet is published.
func (v *verdict) refusal() error {
	denied, ok := refusals[v.action]
	if !ok {
		return nil
	}
	denied.Msg = cmp.Or(v.reason, denied.Msg)
	return &denied
}

const (
	// maxReason bounds what users see of a reason, in bytes.
	maxReason = 200
	// complainEvery is how often failures are logged, at most.
	complainEvery = 10 * time.Second
)

// Before asks a webhook about packets. A nil *Before allows all of them.
type Before struct {
	hook    *webhook
	timeout time.Duration
	onFail  action
	log     *slog.Logger
	metrics *metrics
	turns   *turns
	// When a failure was last logged, Unix nanoseconds.
	complained atomic.Int64
}

// newBefore returns nil if there is no hook.
func newBefore(cfg Config, known credentials, log *slog.Logger, m *metrics) *Before {
	if cfg.BeforeURL == "" {
		return nil
	}
	b := &Before{
		hook: newWebhook(cfg.BeforeURL, known, cfg.Concurrency), timeout: cfg.Timeout, onFail: fail, log: log, metrics: m,
		turns: newTurns(cfg.Concurrency, cfg.Queue),
	}
	if cfg.OnFailure == failAllow {
		b.onFail = allow
	}
	return b
}

// Review asks the hook whether p may be published. It returns the packet to publish
// instead of p, which may have up to maxBytes bytes; nil if that is p itself. A
// refusal is an *access.DeniedError: 403 if the hook denies the packet, 429 if too
// many packets wait, 503 if the hook does not decide. Review takes bounded time.
func (b *Before) Review(ctx context.Context, p *Packet, maxBytes int) (*Rewrite, error) {
	if b == nil {
		return nil, nil
	}
	began := time.Now()
	v := b.ask(ctx, p)
	b.metrics.observe(v.action, time.Since(began))
	if v.action != rewrite {
		return nil, v.refusal()
	}
	r, ok := p.rewrite(v.text, maxBytes)
	if !ok {
		b.log.WarnContext(ctx, "hook returned an invalid rewrite", "group", p.Group)
		return nil, (&verdict{action: deny}).refusal()
	}
	return r, nil
}

// Verdict is what Review returns.
type Verdict struct {
	Rewrite *Rewrite
	Err     error
}

// Review is a packet to be reviewed, and the size that a rewrite of it may have, bytes.
// Without a packet it is allowed.
type Review struct {
	Packet   *Packet
	MaxBytes int
}

// reviewsAtOnce is how many packets of one batch are reviewed at one time.
const reviewsAtOnce = 32

// ReviewAll reviews each packet as Review does, several at one time, and all of them in no
// more time than one may take.
func (b *Before) ReviewAll(ctx context.Context, reviews []Review) []Verdict {
	verdicts := make([]Verdict, len(reviews))
	if b == nil {
		return verdicts
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var next atomic.Int64
	review := func() {
		for i := next.Add(1) - 1; i < int64(len(reviews)); i = next.Add(1) - 1 {
			if r, v := &reviews[i], &verdicts[i]; r.Packet != nil {
				v.Rewrite, v.Err = b.Review(ctx, r.Packet, r.MaxBytes)
			}
		}
	}
	var others sync.WaitGroup
	for range min(len(reviews), reviewsAtOnce) - 1 {
		others.Go(review)
	}
	review()
	others.Wait()
	return verdicts
}

func (b *Before) ask(ctx context.Context, p *Packet) verdict {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if err := b.turns.acquire(ctx, p.Group); err != nil {
		return b.failed(ctx, busy, err)
	}
	defer b.turns.release(p.Group)
	answer, err := b.hook.send(ctx, newEvent("before_publish", p))
	if err != nil {
		return b.failed(ctx, fail, err)
	}
	v, err := parseVerdict(answer)
	if err != nil {
		return b.failed(ctx, fail, err)
	}
	return v
}

// failed is the verdict when there is none. why is fail or busy.
func (b *Before) failed(ctx context.Context, why action, err error) verdict {
	b.metrics.failures.WithLabelValues(actionNames[why]).Inc()
	last, now := b.complained.Load(), time.Now().UnixNano()
	if now-last > int64(complainEvery) && b.complained.CompareAndSwap(last, now) {
		b.log.WarnContext(ctx, "hook before publishing gave no verdict", "cause", actionNames[why], "error", err, "verdict", actionNames[b.onFail])
	}
	if b.onFail == allow {
		return verdict{action: allow}
	}
	return verdict{action: why}
}

// parseVerdict reads an answer; an empty one allows.
func parseVerdict(answer []byte) (verdict, error) {
	if len(answer) == 0 {
		return verdict{action: allow}, nil
	}
	var a struct {
		Action string  `json:"action"`
		Reason string  `json:"reason"`
		Packet *string `json:"packet"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return verdict{}, fmt.Errorf("the hook's answer is not JSON: %w", err)
	}
	switch {
	case a.Action == "allow":
		return verdict{action: allow}, nil
	case a.Action == "deny":
		return verdict{action: deny, reason: reason(a.Reason)}, nil
	case a.Action == "rewrite" && a.Packet != nil && *a.Packet != "":
		return verdict{action: rewrite, text: *a.Packet}, nil
	}
	return verdict{}, fmt.Errorf("the hook's answer has an unknown action %q", a.Action)
}

// reason cuts s to maxReason bytes of whole characters.
func reason(s string) string {
	for len(s) > maxReason || !utf8.ValidString(s) {
		s = s[:min(maxReason, len(s)-1)]
	}
	return s
}
