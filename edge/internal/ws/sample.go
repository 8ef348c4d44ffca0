package ws

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

// sampleEvery is how many Outboxes get in line for one that is measured: a look at the
// clock for each would show in what a delivery costs.
const sampleEvery = 64

// sample measures how long Outboxes take from getting in line to being written, one
// at a time.
type sample struct {
	count   uint
	outbox  *Outbox // nil: none is being measured
	began   time.Time
	seconds prometheus.Histogram
}

func newSample(in metric.Registry) sample {
	return sample{seconds: in.Histogram("gotapi_edge_write_seconds",
		"Time from queueing a frame for an idle connection to writing it to the socket; one in 64 is measured.",
		prometheus.ExponentialBuckets(0.00002, 4, 10))}
}

func (s *sample) added(o *Outbox) {
	if s.count++; s.count%sampleEvery == 0 && s.outbox == nil {
		s.outbox, s.began = o, time.Now()
	}
}

func (s *sample) served(outboxes []*Outbox) {
	for _, o := range outboxes {
		if o == s.outbox && o != nil {
			s.seconds.Observe(time.Since(s.began).Seconds())
			s.outbox = nil
		}
	}
}
