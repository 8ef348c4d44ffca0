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
	publishes := in.Counters("gotapi_history_relay_publishes_total", "Publishes of edges, by outcome.", "outcome")
	m := &metrics{
		streams:   in.Gauge("gotapi_history_relay_streams", "Connected edges."),
		frames:    in.Counter("gotapi_history_relay_frames_total", "Frames sent to edges."),
		events:    in.Counter("gotapi_history_relay_events_total", "Events sent to edges."),
		refused:   in.Counter("gotapi_history_relay_full_total", "Times that events of a group waited in the store because an edge was too slow."),
		publishes: make(map[relayv1.Outcome]prometheus.Counter),
	}
	for n, name := range relayv1.Outcome_name {
		if o := relayv1.Outcome(n); o != relayv1.Outcome_OUTCOME_UNSPECIFIED {
			label := strings.ToLower(strings.TrimPrefix(name, "OUTCOME_"))
			m.publishes[o] = publishes.WithLabelValues(label)
		}
	}
	in.GaugesFunc("gotapi_history_relay_edges", "Connected edges, by version.", "version", f.versions)
	in.GaugeFunc("gotapi_history_relay_queue_bytes", "Bytes queued for all edges; -edge-queue-bytes bounds those for each.",
		func() float64 { return float64(m.queuedBytes.Load()) })
	return m
}
