package relay

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

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
	// By whether they succeeded.
	moves map[bool]prometheus.Counter
}

// latencyBuckets are 0.5 ms to 4 s: the publish timeout is 5 s.
var latencyBuckets = prometheus.ExponentialBuckets(0.0005, 2, 14)

func newMetrics(reg prometheus.Registerer) *metrics {
	in := metric.In(reg)
	publishes := in.Counters("gotapi_edge_relay_publishes_total", "Publications with a result, by outcome.", "outcome")
	moves := in.Counters("gotapi_edge_relay_moves_total", "Moves of the stream to a history service with fewer streams, by outcome: done, failed.", "outcome")
	m := &metrics{
		moves:           map[bool]prometheus.Counter{true: moves.WithLabelValues("done"), false: moves.WithLabelValues("failed")},
		up:              in.Gauge("gotapi_edge_relay_up", "1 while a stream to a history service is open."),
		waiting:         in.Gauge("gotapi_edge_relay_unanswered", "Publications without a result yet."),
		waitingBytes:    in.Gauge("gotapi_edge_relay_unanswered_bytes", "Size of those publications in bytes; the bound is -publish-queue-bytes."),
		streams:         in.Counter("gotapi_edge_relay_streams_total", "Streams opened."),
		givenUp:         in.Counter("gotapi_edge_relay_given_up_total", "Streams given up because the history service did not answer, but another one did."),
		frameItems:      in.Histogram("gotapi_edge_relay_frame_publishes", "Publications in one frame to the history service, including resent ones.", prometheus.ExponentialBuckets(1, 2, 8)),
		publishSeconds:  in.Histogram("gotapi_edge_publish_seconds", "Time from receiving a publication to its result, or to giving up.", latencyBuckets),
		deliverySeconds: in.Histogram("gotapi_edge_delivery_seconds", "Time from receiving a member's publication to queueing it for the members of this edge, including the sender's ack; one in 64 is measured.", latencyBuckets),
		deliveries:      in.Counter("gotapi_edge_relay_events_total", "Events received."),
		publishes:       make(map[Outcome]prometheus.Counter, len(outcomes)),
	}
	for outcome, label := range outcomes {
		m.publishes[outcome] = publishes.WithLabelValues(label)
	}
	return m
}

func (m *metrics) count(o Outcome) { m.publishes[o].Inc() }
