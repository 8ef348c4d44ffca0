package room

import "github.com/gotapi/gotapi-ws/wire/stream"

// Restored attaches every room (relay.Handler).
func (g *Registry) Restored() {
	for _, r := range g.all() {
		r.wanted()
	}
}

// Lost leaves every room without a channel; members and positions stay
// (relay.Handler).
func (g *Registry) Lost() {
	g.mu.Lock()
	clear(g.channels)
	g.mu.Unlock()
	for _, r := range g.all() {
		r.lost()
	}
}

// Attached makes a room live, or tells that it cannot be (relay.Handler).
func (g *Registry) Attached(channel uint32, at stream.Position, gap bool, err error) {
	r := g.byChannel(channel)
	switch {
	case r == nil:
	case err != nil:
		r.refused(channel, err)
	default:
		r.attached(channel, at, gap)
	}
}

// Deliver passes events on to the members of a room (relay.Handler).
func (g *Registry) Deliver(channel uint32, epoch stream.Epoch, events []stream.Event) {
	if r := g.byChannel(channel); r != nil {
		r.deliver(channel, epoch, events, &g.round)
	}
}
