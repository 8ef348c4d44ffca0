package hooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	verdicts  map[action]prometheus.Observer
	failures  *prometheus.CounterVec
	delivered *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, subsystem string) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "gotapi", Subsystem: subsystem, Name: name, Help: help}
	}
	verdicts := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "gotapi", Subsystem: subsystem, Name: "hook_before_seconds",
		Help:    "Time that packets waited for the hook before publishing, by verdict.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 7),
	}, []string{"verdict"})
	m := &metrics{
		verdicts: make(map[action]prometheus.Observer),
		failures: prometheus.NewCounterVec(opts("hook_before_failures_total",
			"Packets without a verdict of the hook before publishing, by cause."), []string{"cause"}),
		delivered: prometheus.NewCounterVec(opts("hook_after_packets_total",
			"Packets for the hook after publishing, by result."), []string{"result"}),
	}
	for action, name := range actionNames {
		m.verdicts[action] = verdicts.WithLabelValues(name)
	}
	for _, cause := range []action{fail, busy} {
		m.failures.WithLabelValues(actionNames[cause])
	}
	for _, result := range []string{"sent", "failed", "dropped"} {
		m.delivered.WithLabelValues(result)
	}
	reg.MustRegister(verdicts, m.failures, m.delivered)
	return m
}

func (m *metrics) observe(a action, took time.Duration) { m.verdicts[a].Observe(took.Seconds()) }
