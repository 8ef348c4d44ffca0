// Package metric makes and registers Prometheus metrics.
package metric

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Registry registers each metric that it makes.
type Registry struct {
	reg  prometheus.Registerer
	auto promauto.Factory
}

// In returns a Registry that registers with reg.
func In(reg prometheus.Registerer) Registry { return Registry{reg, promauto.With(reg)} }

// Counter makes a counter.
func (r Registry) Counter(name, help string) prometheus.Counter {
	return r.auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// Counters makes a counter for each value of the labels.
func (r Registry) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	return r.auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// CounterFunc makes a counter that has the value of a function.
func (r Registry) CounterFunc(name, help string, value func() float64) {
	r.auto.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
}

// Gauge makes a gauge.
func (r Registry) Gauge(name, help string) prometheus.Gauge {
	return r.auto.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// GaugeFunc makes a gauge that has the value of a function.
func (r Registry) GaugeFunc(name, help string, value func() float64) {
	r.auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// GaugesFunc makes a gauge for each value of the label that a function returns, as long as
// it does.
func (r Registry) GaugesFunc(name, help, label string, values func() map[string]int) {
	r.reg.MustRegister(gauges{prometheus.NewDesc(name, help, []string{label}, nil), values}) //nolint:forbidigo // it is the one that was passed in
}

// gauges is a prometheus.Collector.
type gauges struct {
	desc   *prometheus.Desc
	values func() map[string]int
}

func (g gauges) Describe(to chan<- *prometheus.Desc) { to <- g.desc }

func (g gauges) Collect(to chan<- prometheus.Metric) {
	for label, value := range g.values() {
		to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(value), label)
	}
}

// Histogram makes a histogram.
func (r Registry) Histogram(name, help string, buckets []float64) prometheus.Histogram {
	return r.auto.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// Histograms makes a histogram for each value of the labels.
func (r Registry) Histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return r.auto.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}
