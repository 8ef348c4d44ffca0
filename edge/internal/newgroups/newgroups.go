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

// patience is how long the question whether groups exist may take.
const patience = time.Second

// Next takes packets on their way to a group.
type Next interface {
	Publish(batch ...*relay.Publication)
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

// Publish passes packets on, or refuses them: as Busy if one would make a group that its
// client may not make now. It asks the store only about groups that are not known here, of
// clients that may not make any: so no client is kept out of a group that exists.
func (p *Publisher) Publish(batch ...*relay.Publication) {
	ask := question{store: p.store, patience: patience}
	admitted, refused := relay.Sift(batch, func(i int) relay.Result { return p.claim(batch[i], &ask) })
	refused.End()
	if len(admitted) > 0 {
		p.next.Publish(admitted...)
	}
}

// claim returns why a packet may not be published; its Outcome is 0 if it may.
func (p *Publisher) claim(one *relay.Publication, ask *question) relay.Result {
	if one.Kind != stream.Message { // others are kept nowhere
		return relay.Result{}
	}
	claim, again := p.limits.Claim(one.Client, one.Group)
	if again > 0 {
		switch exists, err := ask.exists(one.Group); {
		case err != nil:
			return relay.Result{Outcome: relay.Unavailable, Reason: "cannot find out whether the group is new"}
		case !exists:
			p.limits.Refuse()
			return relay.Result{Outcome: relay.Busy, Reason: "too many new groups of this client", Again: again}
		}
	}
	one.From = &claimant{Sender: one.From, claim: claim}
	return relay.Result{}
}

// question is what the packets of a batch ask the store, in patience together.
type question struct {
	store    Store
	patience time.Duration
}

func (q *question) exists(g group.Name) (bool, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), q.patience)
	defer cancel()
	exists, err := q.store.Exists(ctx, g)
	q.patience -= time.Since(began)
	return exists, err
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
