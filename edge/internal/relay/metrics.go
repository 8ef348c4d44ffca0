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
	up, waiting                             prometheus.Gauge
	streams, frames, frameItems, deliveries prometheus.Counter
	givenUp                                 prometheus.Counter
	publishes                               map[Outcome]prometheus.Counter
}

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
		streams: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_streams_total",
			Help: "Streams that were opened.",
		}),
		givenUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_given_up_total",
			Help: "Streams that were given up because the history service did not answer and another one did.",
		}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_frames_total",
			Help: "Frames of publications that were sent.",
		}),
		frameItems: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_relay_frame_publishes_total",
			Help: "Publications in those frames, resent ones included.",
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
	reg.MustRegister(m.up, m.waiting, m.streams, m.givenUp, m.frames, m.frameItems, m.deliveries, publishes)
	return m
}

func (m *metrics) count(o Outcome) { m.publishes[o].Inc() }
