package room

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/gotapi/gotapi-ws/wire/group"
)

// Sessions returns the sessions that are members of a group, up to a number of them,
// and how many there are.
func (g *Registry) Sessions(name group.Name, most int) (sessions []uint32, total int) {
	g.mu.Lock()
	r := g.rooms[name]
	g.mu.Unlock()
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if !m.uncounted && len(sessions) < most {
			sessions = append(sessions, m.session)
		}
	}
	return sessions, r.counted()
}

// Deliveries is how many packets have been queued to members, without acks.
func (g *Registry) Deliveries() uint64 {
	var m dto.Metric
	if err := g.metrics.deliveries.Write(&m); err != nil {
		return 0 // a counter has nothing that could fail
	}
	return uint64(m.GetCounter().GetValue())
}
