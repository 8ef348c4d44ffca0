package feed

import "github.com/prometheus/client_golang/prometheus"

// cause is why a follower reads the store.
type cause string

// The causes: values of the label cause.
const (
	causeStart      cause = "start"      // it starts at a place that only the store knows
	causeHole       cause = "hole"       // an event did not follow
	causeBehind     cause = "behind"     // it stood still behind the head
	causeSubscribed cause = "subscribed" // events were missed while there was no subscription
	causeExpected   cause = "expected"   // a message stored here was not heard
	causeSlow       cause = "slow"       // its sink was full
)

type metrics struct {
	followers, subscriptions prometheus.Gauge
	gaps, dropped, retries   prometheus.Counter
	catchUps                 map[cause]prometheus.Counter
}

// registerDepths tells how much waits.
func (h *Hub) registerDepths(reg prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(
		gauge("gotapi_history_feed_buffered_bytes", "Bytes of live events that wait while their followers read the store.",
			func() float64 { return float64(h.buffered.Load()) }),
		gauge("gotapi_history_feed_reads_waiting", "Followers that wait for their turn to read the store.",
			func() float64 { return float64(h.reads.depth()) }))
}

func newMetrics(reg prometheus.Registerer) *metrics {
	catchUps := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_history_feed_catchups_total",
		Help: "Times that a follower had to read the store, by cause.",
	}, []string{"cause"})
	m := &metrics{
		followers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_history_feed_followers",
			Help: "Followers of groups: one for each group of each edge and watcher.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_history_feed_subscriptions",
			Help: "Groups that are subscribed on the bus.",
		}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_feed_gaps_total",
			Help: "Times that a follower was told that messages are lost.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_feed_dropped_total",
			Help: "Packets that are not stored and were not passed on because a receiver was too slow.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_feed_read_errors_total",
			Help: "Calls of the store for followers that failed and are made again.",
		}),
		catchUps: make(map[cause]prometheus.Counter),
	}
	for _, c := range []cause{causeStart, causeHole, causeBehind, causeSubscribed, causeExpected, causeSlow} {
		m.catchUps[c] = catchUps.WithLabelValues(string(c))
	}
	reg.MustRegister(m.followers, m.subscriptions, m.gaps, m.dropped, m.retries, catchUps)
	return m
}
