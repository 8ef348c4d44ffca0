package relay

import "github.com/prometheus/client_golang/prometheus"

// outcomes are the values of the label outcome.
var outcomes = map[Outcome]string{
	Accepted:    "accepted",
	Duplicate:   "duplicate",
	Invalid:     "invalid",
	Busy:        "busy",
	Unavailable: "unavailable",
	Unknown:     "unknown",
}

type metrics struct {
	up, waiting, waitingBytes                   prometheus.Gauge
	streams, givenUp, deliveries                prometheus.Counter
	frameItems, publishSeconds, deliverySeconds prometheus.Histogram
	publishes                                   map[Outcome]prometheus.Counter
}

// latencyBuckets are 0.5 ms to 4 s: the publish timeout is 5 s.
var latencyBuckets = prometheus.ExponentialBuckets(0.0005, 2, 14)

func newMetrics(reg prometheus.Registerer) *metrics {
	publishes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_edge_relay_publishes_total",
		Help: "Publications that were answered, by outcome.",
	}, []string{"outcome"})
	m := &metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_edge_relay_up",
			Help: "1 while there is a stream to a history service.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_edge_relay_unanswered",
			Help: "Publications that have not been answered.",
		}),
		waitingBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_edge_relay_unanswered_bytes",
			Help: "What those publications occupy; the bound is -publish-queue-bytes.",
		}),
		streams: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_streams_total",
			Help: "Streams that were opened.",
		}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_given_up_total",
			Help: "Streams that were given up because the history service did not answer and another one did.",
		}),
		frameItems: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gotapi_edge_relay_frame_publishes",
			Help:    "Publications in a frame to the history service, resent ones included.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gotapi_edge_publish_seconds",
			Help:    "From taking a publication to the history service's answer, or to giving up.",
			Buckets: latencyBuckets,
		}),
		deliverySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gotapi_edge_delivery_seconds",
			Help:    "From taking a member's publication to having it back for the members of this edge, the sender's ack included; one in 64 is measured.",
			Buckets: latencyBuckets,
		}),
		deliveries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_events_total",
			Help: "Events that were received.",
		}),
		publishes: make(map[Outcome]prometheus.Counter, len(outcomes)),
	}
	for outcome, label := range outcomes {
		m.publishes[outcome] = publishes.WithLabelValues(label)
	}
	reg.MustRegister(m.up, m.waiting, m.waitingBytes, m.streams, m.givenUp, m.frameItems,
		m.publishSeconds, m.deliverySeconds, m.deliveries, publishes)
	return m
}

func (m *metrics) count(o Outcome) { m.publishes[o].Inc() }
