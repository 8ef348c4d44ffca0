package feed

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

// cause is why a follower reads the store.
type cause string

// The causes: values of the label cause.
const (
	causeStart      cause = "start"      // it starts at a position that only the store knows
	causeHole       cause = "hole"       // an event did not follow
	causeBehind     cause = "behind"     // it stayed behind the head
	causeSubscribed cause = "subscribed" // events were missed while there was no subscription
	causeExpected   cause = "expected"   // a message stored here did not arrive
	causeSlow       cause = "slow"       // its sink was full
)

type metrics struct {
	followers, subscriptions prometheus.Gauge
	gaps, dropped, retries   prometheus.Counter
	catchUps                 map[cause]prometheus.Counter
}

// registerDepths registers gauges of what waits.
func (h *Hub) registerDepths(reg prometheus.Registerer) {
	in := metric.In(reg)
	in.GaugeFunc("gotapi_history_feed_buffered_bytes", "Bytes of live events queued while their followers read the store.",
		func() float64 { return float64(h.buffered.Load()) })
	in.GaugeFunc("gotapi_history_feed_reads_waiting", "Followers waiting for a free slot to read the store.",
		func() float64 { return float64(h.reads.depth()) })
}

func newMetrics(reg prometheus.Registerer) *metrics {
	in := metric.In(reg)
	catchUps := in.Counters("gotapi_history_feed_catchups_total", "Times that a follower caught up from the store, by cause.", "cause")
	m := &metrics{
		followers:     in.Gauge("gotapi_history_feed_followers", "Followers of groups: one for each group of each edge and watcher."),
		subscriptions: in.Gauge("gotapi_history_feed_subscriptions", "Groups subscribed on the bus."),
		gaps:          in.Counter("gotapi_history_feed_gaps_total", "Gaps sent to followers because messages were lost."),
		dropped:       in.Counter("gotapi_history_feed_dropped_total", "Unstored packets dropped because a receiver was too slow."),
		retries:       in.Counter("gotapi_history_feed_read_errors_total", "Failed calls of the store for followers; each is retried."),
		catchUps:      make(map[cause]prometheus.Counter),
	}
	for _, c := range []cause{causeStart, causeHole, causeBehind, causeSubscribed, causeExpected, causeSlow} {
		m.catchUps[c] = catchUps.WithLabelValues(string(c))
	}
	return m
}
