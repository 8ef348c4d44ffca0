package relay

import dto "github.com/prometheus/client_model/go"

// Taken is how many publications the history service has accepted.
func (c *Client) Taken() uint64 {
	var m dto.Metric
	if err := c.metrics.publishes[Accepted].Write(&m); err != nil {
		return 0 // a counter has nothing that could fail
	}
	return uint64(m.GetCounter().GetValue())
}
