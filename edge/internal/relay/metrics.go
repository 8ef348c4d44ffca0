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
	publishes := in.Counters("gotapi_edge_relay_publishes_total", "Publications that have a result, by outcome.", "outcome")
	moves := in.Counters("gotapi_edge_relay_moves_total", "Moves of the stream to a history service with fewer streams, by outcome: done, failed.", "outcome")
	m := &metrics{
		moves:           map[bool]prometheus.Counter{true: moves.WithLabelValues("done"), false: moves.WithLabelValues("failed")},
		up:              in.Gauge("gotapi_edge_relay_up", "1 while there is a stream to a history service."),
		waiting:         in.Gauge("gotapi_edge_relay_unanswered", "Publications that have no result yet."),
		waitingBytes:    in.Gauge("gotapi_edge_relay_unanswered_bytes", "What those publications occupy; the bound is -publish-queue-bytes."),
		streams:         in.Counter("gotapi_edge_relay_streams_total", "Streams that were opened."),
		givenUp:         in.Counter("gotapi_edge_relay_given_up_total", "Streams that were given up because the history service did not answer and another one did."),
		frameItems:      in.Histogram("gotapi_edge_relay_frame_publishes", "Publications in a frame to the history service, resent ones included.", prometheus.ExponentialBuckets(1, 2, 8)),
		publishSeconds:  in.Histogram("gotapi_edge_publish_seconds", "From taking a publication to its result, or to giving up.", latencyBuckets),
		deliverySeconds: in.Histogram("gotapi_edge_delivery_seconds", "From taking a member's publication to having it back for the members of this edge, the sender's ack included; one in 64 is measured.", latencyBuckets),
		deliveries:      in.Counter("gotapi_edge_relay_events_total", "Events that were received."),
		publishes:       make(map[Outcome]prometheus.Counter, len(outcomes)),
	}
	for outcome, label := range outcomes {
		m.publishes[outcome] = publishes.WithLabelValues(label)
	}
	return m
}

func (m *metrics) count(o Outcome) { m.publishes[o].Inc() }
