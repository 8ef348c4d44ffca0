package room

import dto "github.com/prometheus/client_model/go"

// Deliveries is how many packets have been queued to members, without acks.
func (g *Registry) Deliveries() uint64 {
	var m dto.Metric
	if err := g.metrics.deliveries.Write(&m); err != nil {
		return 0 // a counter has nothing that could fail
	}
	return uint64(m.GetCounter().GetValue())
}
