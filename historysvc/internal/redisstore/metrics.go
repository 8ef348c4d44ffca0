package redisstore

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	appended, calls, retries, dedupeCut, resubscribed, malformed prometheus.Counter
	adopted, recalled, busy                                      prometheus.Counter
	// Messages and packets in one pipeline.
	batch prometheus.Histogram
	// Round trips, by kind of call.
	seconds map[callKind]prometheus.Observer
	errors  map[callKind]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gotapi_history_append_pipeline_packets",
			Help:    "Messages and broadcasts in one pipeline to Redis.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
	}
	for _, c := range []struct {
		counter    *prometheus.Counter
		name, help string
	}{
		{&m.appended, "appended_total", "Messages stored."},
		{&m.calls, "append_calls_total", "Script calls that stored them: messages per call is the group commit's gain."},
		{&m.retries, "append_failures_total", "Pipelines of which a part failed and was tried again."},
		{&m.dedupeCut, "dedupe_cut_total", "Times that a flood of messages made a group forget uuids that were not yet 10 minutes old."},
		{&m.resubscribed, "bus_reconnects_total", "Subscription connections that had to be made anew."},
		{&m.malformed, "bus_malformed_total", "Bus messages that could not be decoded."},
		{&m.adopted, "adopted_total", "Lists that were there before this service and have been adopted."},
		{&m.recalled, "recalled_total", "Messages recalled."},
		{&m.busy, "publish_busy_total", "Publications refused because too much waited for Redis, in all or of their group."},
	} {
		*c.counter = prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "gotapi", Subsystem: "history", Name: c.name, Help: c.help,
		})
		if err := reg.Register(*c.counter); err != nil {
			return nil, fmt.Errorf("metric %s: %w", c.name, err)
		}
	}
	if err := reg.Register(m.batch); err != nil {
		return nil, fmt.Errorf("metric of pipelines: %w", err)
	}
	return m, m.registerCalls(reg)
}
