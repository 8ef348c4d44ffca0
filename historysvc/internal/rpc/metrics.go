package rpc

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

type relayMetrics struct {
	streams        prometheus.Gauge
	frames, events prometheus.Counter
	refused        prometheus.Counter
	publishes      map[relayv1.Outcome]prometheus.Counter

	mu sync.Mutex
	// What waits for the edges that are connected.
	queues map[*outbound]struct{}
}

func (m *relayMetrics) add(o *outbound) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[o] = struct{}{}
}

func (m *relayMetrics) remove(o *outbound) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.queues, o)
}

func (m *relayMetrics) queued() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	bytes := 0
	for o := range m.queues {
		bytes += o.queued()
	}
	return float64(bytes)
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
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_history_relay_full_total",
			Help: "Times that a group's events had to wait in the store because an edge was too slow.",
		}),
		publishes: make(map[relayv1.Outcome]prometheus.Counter),
		queues:    make(map[*outbound]struct{}),
	}
	for n, name := range relayv1.Outcome_name {
		if o := relayv1.Outcome(n); o != relayv1.Outcome_OUTCOME_UNSPECIFIED {
			label := strings.ToLower(strings.TrimPrefix(name, "OUTCOME_"))
			m.publishes[o] = publishes.WithLabelValues(label)
		}
	}
	reg.MustRegister(m.streams, m.frames, m.events, m.refused, publishes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_history_relay_queue_bytes",
		Help: "Bytes that wait to be sent to edges, all together; -edge-queue-bytes bounds each edge's.",
	}, m.queued))
	return m
}
