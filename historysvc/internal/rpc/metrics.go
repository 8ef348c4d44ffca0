package rpc

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

type relayMetrics struct {
	streams        prometheus.Gauge
	frames, events prometheus.Counter
	publishes      map[relayv1.Outcome]prometheus.Counter
}

func newRelayMetrics(reg prometheus.Registerer) *relayMetrics {
	publishes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_history_relay_publishes_total",
		Help: "Publishes of edges that were answered, by outcome.",
	}, []string{"outcome"})
	m := &relayMetrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_history_relay_streams",
			Help: "Edges that are connected.",
		}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_relay_frames_total",
			Help: "Frames that were sent to edges.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_relay_events_total",
			Help: "Events that were sent to edges.",
		}),
		publishes: make(map[relayv1.Outcome]prometheus.Counter),
	}
	for n, name := range relayv1.Outcome_name {
		if o := relayv1.Outcome(n); o != relayv1.Outcome_OUTCOME_UNSPECIFIED {
			label := strings.ToLower(strings.TrimPrefix(name, "OUTCOME_"))
			m.publishes[o] = publishes.WithLabelValues(label)
		}
	}
	reg.MustRegister(m.streams, m.frames, m.events, publishes)
	return m
}
