// Package newgroups lets clients publish to groups that exist, and make only as many new
// ones as they may (limit.NewGroups). A group is made by its first stored message, and
// costs memory of Redis until its retention is over.
package newgroups

import (
	"context"
	"time"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/edge/internal/relay"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// patience is how long the question whether a group exists may take.
const patience = time.Second

// Next takes packets on their way to a group.
type Next interface {
	Publish(p *relay.Publication)
}

// Store knows which groups have messages.
type Store interface {
	Exists(ctx context.Context, g group.Name) (bool, error)
}

// Publisher refuses messages that would make too many groups.
type Publisher struct {
	next   Next
	limits *limit.NewGroups
	store  Store
}

// New returns a Publisher in front of next.
func New(next Next, limits *limit.NewGroups, store Store) *Publisher {
	return &Publisher{next, limits, store}
}

// Publish passes p on, or refuses it: as Busy if it would make a group that its client
// may not make now. It asks the store only about groups that are not known here, of
// clients that may not make any: so no client is kept out of a group that exists.
func (p *Publisher) Publish(one *relay.Publication) {
	if one.Kind != stream.Message { // others are kept nowhere
		p.next.Publish(one)
		return
	}
	claim, again := p.limits.Claim(one.Client, one.Group)
	if again > 0 {
		if refusal := p.refusal(one.Group, again); refusal.Outcome != 0 {
			one.End(refusal)
			return
		}
	}
	one.From = &claimant{Sender: one.From, claim: claim}
	p.next.Publish(one)
}

// refusal returns why a group may not be published to; its Outcome is 0 if it exists.
func (p *Publisher) refusal(g group.Name, again time.Duration) relay.Result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch exists, err := p.store.Exists(ctx, g); {
	case err != nil:
		return relay.Result{Outcome: relay.Unavailable, Reason: "cannot find out whether the group is new"}
	case !exists:
		p.limits.Refuse()
		return relay.Result{Outcome: relay.Busy, Reason: "too many new groups of this client", Again: again}
	}
	return relay.Result{}
}

// claimant settles the claim before the sender has its result.
type claimant struct {
	relay.Sender
	claim limit.Claim
}

// Result implements relay.Sender.
func (c *claimant) Result(p *relay.Publication, r relay.Result) {
	c.claim.Settle(made(r))
	c.Sender.Result(p, r)
}

// made returns what a result means for the group. The first message may be called a
// duplicate only because it was sent twice.
func made(r relay.Result) limit.Made {
	switch {
	case r.Outcome == relay.Accepted && r.Seq == 0: // the group stores nothing
		return limit.Nothing
	case r.Outcome == relay.Accepted && r.Seq == 1:
		return limit.Group
	case r.Outcome == relay.Unknown, r.Outcome == relay.Duplicate && r.Seq == 1:
		return limit.Perhaps
	case r.Outcome == relay.Accepted, r.Outcome == relay.Duplicate:
		return limit.Message
	default:
		return limit.Nothing
	}
}
