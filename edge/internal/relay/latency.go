package relay

import (
	"sync"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

// One publication of a member in 1<<sampleShift, chosen by its id, is followed
// until it comes back: a table of all would cost more than the metric is worth.
const sampleShift = 6

// maxSamples bounds how many are followed at once. A publication that is accepted and
// never comes back, because its room is gone, stays until the table is emptied.
const maxSamples = 1024

func sampled(id uint64) bool { return id*0x9E3779B97F4A7C15>>(64-sampleShift) == 0 }

// samples are the publications that are followed.
type samples struct {
	mu    sync.Mutex
	began map[uint64]time.Time
}

// begin follows a publication of a member; one over HTTP may have no room here to
// come back to.
func (s *samples) begin(p *Publication, now time.Time) {
	if p.Session == 0 || !sampled(p.ID()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil || len(s.began) >= maxSamples {
		s.began = make(map[uint64]time.Time)
	}
	s.began[p.ID()] = now
}

// end stops following a publication, and returns when it was published.
func (s *samples) end(id uint64) (began time.Time, ok bool) {
	if !sampled(id) {
		return time.Time{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	began, ok = s.began[id]
	delete(s.began, id)
	return began, ok
}

// arrived looks for followed publications among events.
func (c *Client) arrived(events []*relayv1.Event) {
	for _, e := range events {
		if e.GetOriginEdge() != c.edge {
			continue
		}
		if began, ok := c.samples.end(e.GetOriginId()); ok {
			c.metrics.deliverySeconds.Observe(time.Since(began).Seconds())
		}
	}
}
