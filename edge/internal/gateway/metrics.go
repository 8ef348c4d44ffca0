package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/edge/internal/limit"
	"github.com/gotapi/gotapi-ws/internal/metric"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, requests limit.Semaphore, pages *pageLimits) *metrics {
	in := metric.In(reg)
	gauge := func(name, help string, value func() int) {
		in.GaugeFunc(name, help, func() float64 { return float64(value()) })
	}
	gauge("gotapi_edge_http_requests_under_way", "HTTP requests not answered yet, including upgrades.", requests.InUse)
	gauge("gotapi_edge_http_pages_under_way", "Pages of history being fetched over HTTP, and large ones being sent.", pages.inUse)
	return &metrics{
		requests: in.Counters("gotapi_edge_http_requests_total", "HTTP requests answered, without upgrades, by endpoint and status.", "endpoint", "code"),
		seconds: in.Histograms("gotapi_edge_http_request_seconds", "Duration of HTTP requests, without upgrades, by endpoint.",
			prometheus.ExponentialBuckets(0.0005, 4, 8), "endpoint"),
	}
}

func (m *metrics) count(endpoint string, code int) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
}

// counted serves a request and counts its status.
func (h *Handler) counted(endpoint string, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w, code: http.StatusOK}
	r, end := h.startSpan(endpoint, w, r)
	serve(rec, r)
	end(rec.code)
	h.metrics.count(endpoint, rec.code)
	if isStream(r) { // they take as long as their clients like
		return
	}
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
