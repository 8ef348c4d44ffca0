// Package hooked puts the hooks of an application between those who publish and the
// relay (package hooks). An edge without hooks does without it.
package hooked

import (
	"context"
	"log/slog"

	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/hooks"
)

// Publisher asks before packets go to the relay, and tells when they were accepted.
type Publisher struct {
	next     func(*relay.Publication)
	hooks    *hooks.Hooks
	maxBytes func() int
	log      *slog.Logger
}

// New returns a Publisher in front of next. Packets that a hook rewrites may have
// as many bytes as maxBytes says then.
func New(next func(*relay.Publication), h *hooks.Hooks, maxBytes func() int, log *slog.Logger) *Publisher {
	return &Publisher{next: next, hooks: h, maxBytes: maxBytes, log: log}
}

// Publish waits for the hook's verdict, which comes in bounded time: so what one
// caller publishes goes out in its order.
func (p *Publisher) Publish(one *relay.Publication) {
	source := hooks.WebSocket
	if one.Session == 0 {
		source = hooks.HTTP
	}
	packet := hooks.NewPacket(string(one.Group), one.User, source, one.Kind, one.UUID, one.Payload)
	if refusal := p.ask(one, packet); refusal.Outcome != 0 {
		one.Done(refusal)
		return
	}
	if p.hooks.After != nil {
		done := one.Done
		one.Done = func(r relay.Receipt) {
			if r.Outcome == relay.Accepted {
				p.hooks.After.Tell(packet)
			}
			done(r)
		}
	}
	p.next(one)
}

// ask returns why a publication is refused; its Outcome is 0 if it is not.
func (p *Publisher) ask(one *relay.Publication, packet *hooks.Packet) relay.Receipt {
	// The hook's own timeout bounds it.
	v := p.hooks.Before.Ask(context.Background(), packet)
	switch v.Action {
	case hooks.Allow:
		return relay.Receipt{}
	case hooks.Rewrite:
		body, kind, ok := packet.Rewrite(v.Text, p.maxBytes())
		if !ok {
			p.log.Warn("the hook rewrites a packet into one that cannot take its place", "group", one.Group)
			return relay.Receipt{Outcome: relay.Denied, Reason: "the message was not allowed"}
		}
		one.Payload, one.Kind = body, kind
		return relay.Receipt{}
	case hooks.Busy:
		return relay.Receipt{Outcome: relay.Busy, Reason: "too much is waiting to be checked"}
	case hooks.Fail:
		return relay.Receipt{Outcome: relay.Unavailable, Reason: "the message cannot be checked now"}
	default:
		return relay.Receipt{Outcome: relay.Denied, Reason: v.Reason}
	}
}
