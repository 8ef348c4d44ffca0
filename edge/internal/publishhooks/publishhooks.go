// Package publishhooks puts an application's hooks (package hooks) around publishing: one
// decides before a packet goes to the relay, the other gets accepted packets. An edge
// without hooks does not use it.
package publishhooks

import (
	"context"
	"errors"
	"net/http"

	"github.com/gotapi/gotapi-ws/access"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/hooks"
	"github.com/gotapi/gotapi-ws/internal/groupsettings"
)

// Relay takes packets on their way to a group; *relay.Client in production.
type Relay interface {
	Publish(batch ...*relay.Publication)
}

// Publisher asks the hook before packets go to the relay.
type Publisher struct {
	relay    Relay
	before   *hooks.Before
	groups   *groupsettings.File
	maxBytes func() int
}

// New returns a Publisher in front of r. Groups, which may be nil, may do without the
// hook. A packet that the hook rewrites may have up to maxBytes bytes at that moment, or
// less in some groups.
func New(r Relay, before *hooks.Before, groups *groupsettings.File, maxBytes func() int) *Publisher {
	return &Publisher{relay: r, before: before, groups: groups, maxBytes: maxBytes}
}

// Publish waits for the hook's verdicts, which takes bounded time. So the packets of
// one caller keep their order.
func (p *Publisher) Publish(batch ...*relay.Publication) {
	reviews := make([]hooks.Review, len(batch))
	for i, one := range batch {
		if settings := p.groups.Of(one.Group); settings.AsksHook() {
			reviews[i] = hooks.Review{Packet: packetOf(one), MaxBytes: settings.MaxBytes(p.maxBytes())}
		}
	}
	// The hook's own timeout bounds it.
	verdicts := p.before.ReviewAll(context.Background(), reviews)
	admitted, refused := relay.Sift(batch, func(i int) relay.Result { return apply(verdicts[i], batch[i]) })
	refused.End()
	if len(admitted) > 0 {
		p.relay.Publish(admitted...)
	}
}

// outcomes are those of refusals, by their HTTP status.
var outcomes = map[int]relay.Outcome{
	http.StatusForbidden:          relay.Denied,
	http.StatusTooManyRequests:    relay.Busy,
	http.StatusServiceUnavailable: relay.Unchecked,
}

// apply returns why a publication is refused; its Outcome is 0 if it is not.
func apply(v hooks.Verdict, one *relay.Publication) relay.Result {
	if denied, ok := errors.AsType[*access.DeniedError](v.Err); ok {
		return relay.Result{Outcome: outcomes[denied.Status], Reason: denied.Msg}
	}
	if v.Rewrite != nil {
		one.Kind, one.Payload = v.Rewrite.Kind, v.Rewrite.Body
	}
	return relay.Result{}
}

// Tell returns a function for relay.Options.Accepted that hands accepted publications to the
// hook after publishing; nil without that hook. h may be nil, and so may groups, which may
// do without the hook.
func Tell(h *hooks.Hooks, groups *groupsettings.File) func(*relay.Publication, relay.Result) {
	if h == nil || h.After == nil {
		return nil
	}
	return func(one *relay.Publication, r relay.Result) {
		if !groups.Of(one.Group).TellsHook() {
			return
		}
		p := packetOf(one)
		p.At = r.At
		h.After.Tell(p)
	}
}

// packetOf is a publication as hooks see it.
func packetOf(one *relay.Publication) *hooks.Packet {
	source := hooks.WebSocket
	if one.Session == 0 {
		source = hooks.HTTP
	}
	return hooks.NewPacket(string(one.Group), hooks.Caller{User: one.User, By: one.By}, source, one.Kind, one.UUID, one.Payload)
}
