package relayserver

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

type metrics struct {
	streams        prometheus.Gauge
	frames, events prometheus.Counter
	refused        prometheus.Counter
	publishes      map[relayv1.Outcome]prometheus.Counter
	// Over all edges.
	queuedBytes atomic.Int64
}

func newMetrics(reg prometheus.Registerer, f *fleet) *metrics {
	in := metric.In(reg)
	publishes := in.Counters("gotapi_history_relay_publishes_total", "Publishes of edges that were answered, by outcome.", "outcome")
	m := &metrics{
		streams:   in.Gauge("gotapi_history_relay_streams", "Edges that are connected."),
		frames:    in.Counter("gotapi_history_relay_frames_total", "Frames that were sent to edges."),
		events:    in.Counter("gotapi_history_relay_events_total", "Events that were sent to edges."),
		refused:   in.Counter("gotapi_history_relay_full_total", "Times that a group's events had to wait in the store because an edge was too slow."),
		publishes: make(map[relayv1.Outcome]prometheus.Counter),
	}
	for n, name := range relayv1.Outcome_name {
		if o := relayv1.Outcome(n); o != relayv1.Outcome_OUTCOME_UNSPECIFIED {
			label := strings.ToLower(strings.TrimPrefix(name, "OUTCOME_"))
			m.publishes[o] = publishes.WithLabelValues(label)
		}
	}
	in.GaugesFunc("gotapi_history_relay_edges", "Edges that are connected, by the version that they run.", "version", f.versions)
	in.GaugeFunc("gotapi_history_relay_queue_bytes", "Bytes that wait to be sent to edges, all together; -edge-queue-bytes bounds each edge's.",
		func() float64 { return float64(m.queuedBytes.Load()) })
	return m
}
