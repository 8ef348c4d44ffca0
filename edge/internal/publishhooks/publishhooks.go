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
)

// Relay takes packets on their way to a group; *relay.Client in production.
type Relay interface {
	Publish(p *relay.Publication)
}

// Publisher asks the hook before packets go to the relay.
type Publisher struct {
	relay    Relay
	before   *hooks.Before
	maxBytes func() int
}

// New returns a Publisher in front of r. A packet that the hook rewrites may have up
// to maxBytes bytes at that moment.
func New(r Relay, before *hooks.Before, maxBytes func() int) *Publisher {
	return &Publisher{relay: r, before: before, maxBytes: maxBytes}
}

// Publish waits for the hook's verdict, which takes bounded time. So the packets of
// one caller keep their order.
func (p *Publisher) Publish(one *relay.Publication) {
	if refusal := p.ask(one); refusal.Outcome != 0 {
		one.End(refusal)
		return
	}
	p.relay.Publish(one)
}

// outcomes are those of refusals, by their HTTP status.
var outcomes = map[int]relay.Outcome{
	http.StatusForbidden:          relay.Denied,
	http.StatusTooManyRequests:    relay.Busy,
	http.StatusServiceUnavailable: relay.Unchecked,
}

// ask returns why a publication is refused; its Outcome is 0 if it is not.
func (p *Publisher) ask(one *relay.Publication) relay.Result {
	// The hook's own timeout bounds it.
	rewrite, err := p.before.Review(context.Background(), packetOf(one), p.maxBytes())
	if denied, ok := errors.AsType[*access.DeniedError](err); ok {
		return relay.Result{Outcome: outcomes[denied.Status], Reason: denied.Msg}
	}
	if rewrite != nil {
		one.Kind, one.Payload = rewrite.Kind, rewrite.Body
	}
	return relay.Result{}
}

// Tell returns a function for relay.Options.Accepted that hands accepted publications to the
// hook after publishing; nil without that hook. h may be nil.
func Tell(h *hooks.Hooks) func(*relay.Publication) {
	if h == nil || h.After == nil {
		return nil
	}
	return func(one *relay.Publication) { h.After.Tell(packetOf(one)) }
}

// packetOf is a publication as hooks see it.
func packetOf(one *relay.Publication) *hooks.Packet {
	source := hooks.WebSocket
	if one.Session == 0 {
		source = hooks.HTTP
	}
	return hooks.NewPacket(string(one.Group), one.User, source, one.Kind, one.UUID, one.Payload)
}
