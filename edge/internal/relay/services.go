package relay

import (
	"cmp"
	"context"

	"github.com/gotapi/gotapi-ws/edge/internal/historyconn"
)

// Services returns the history services that this edge knows, with the edges that each of
// them serves, as far as they answer before ctx ends; none without a stream, and none if
// the history service is in this process.
func (c *Client) Services(ctx context.Context) []historyconn.Service {
	return c.seat().Ask(ctx)
}

// versions returns how many history services run each version.
func (c *Client) versions() map[string]int {
	counts := make(map[string]int)
	for _, s := range c.seat().Services() {
		if s.Silent && s.Version == "" { // it runs none
			continue
		}
		counts[cmp.Or(s.Version, "unknown")]++
	}
	return counts
}

// seat is where the edge is; the zero Seat if it is nowhere.
func (c *Client) seat() *historyconn.Seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return &historyconn.Seat{}
	}
	return c.link.seat
}
