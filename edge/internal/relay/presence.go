package relay

import (
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
)

// refreshEvery is how often all counts are reported although few have changed:
// the store forgets them when it is down for long, and loses some in a failover.
const refreshEvery = 10 * time.Second

// reporter makes the member reports of one stream: all counts first, and again now
// and then; else what has changed. An empty report is a report too: it keeps the
// counts alive.
type reporter struct {
	handler  Handler
	reported map[group.Name]uint32
	// When all counts were last reported.
	full time.Time
}

// presence returns the next report, in pieces that fit into frames: if the
// first is full, the others add to it.
func (r *reporter) presence() []*relayv1.Presence {
	members := r.handler.Members()
	full := time.Since(r.full) >= refreshEvery
	if full {
		r.reported, r.full = nil, time.Now()
	}
	changes := changed(r.reported, members)
	r.reported = members
	return split(changes, full)
}

// changed returns what differs in now, with 0 for the groups that are gone.
func changed(before, now map[group.Name]uint32) map[group.Name]uint32 {
	changes := make(map[group.Name]uint32)
	for g, n := range now {
		if n != before[g] {
			changes[g] = n
		}
	}
	for g := range before {
		if _, ok := now[g]; !ok {
			changes[g] = 0
		}
	}
	return changes
}

func split(members map[group.Name]uint32, full bool) []*relayv1.Presence {
	piece := &relayv1.Presence{Full: full, Members: make(map[string]uint32)}
	pieces := []*relayv1.Presence{piece}
	size := 0
	for g, n := range members {
		size += len(g) + interestOverhead
		if size > maxFrameBytes {
			piece = &relayv1.Presence{Members: make(map[string]uint32)}
			pieces = append(pieces, piece)
			size = len(g) + interestOverhead
		}
		piece.Members[string(g)] = n
	}
	return pieces
}
