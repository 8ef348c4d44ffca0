package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, h *Handler) *metrics {
	m := &metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_edge_http_requests_total",
		Help: "HTTP requests that were answered, upgrades apart, by endpoint and status.",
	}, []string{"endpoint", "code"}), seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gotapi_edge_http_request_seconds",
		Help:    "Duration of HTTP requests, upgrades apart, by endpoint.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
	}, []string{"endpoint"})}
	gauge := func(name, help string, of interface{ Taken() int }) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(of.Taken()) })
	}
	reg.MustRegister(m.requests, m.seconds,
		gauge("gotapi_edge_http_requests_under_way", "HTTP requests that are not answered yet, upgrades included.", h.requests),
		gauge("gotapi_edge_http_pages_under_way", "Pages of history that are fetched over HTTP, and large ones that are sent.", &h.pages))
	return m
}

func (m *metrics) count(endpoint string, code int) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
}

// counted serves a request and counts its status.
func (h *Handler) counted(endpoint string, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w, code: http.StatusOK}
	r, end := h.follow(endpoint, w, r)
	serve(rec, r)
	end(rec.code)
	h.metrics.count(endpoint, rec.code)
	h.metrics.seconds.WithLabelValues(endpoint).Observe(time.Since(began).Seconds())
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
