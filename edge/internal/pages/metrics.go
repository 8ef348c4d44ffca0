package pages

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

type metrics struct{ hits, misses, shared prometheus.Counter }

func newMetrics(reg prometheus.Registerer, c *cache) *metrics {
	in := metric.In(reg)
	asked := in.Counters("gotapi_edge_pages_total", "Pages of history for HTTP: hit (the edge or the client had the current one), miss (it was read) or shared (with another request that came at the same time).", "result")
	in.GaugeFunc("gotapi_edge_page_cache_bytes", "Bytes of history pages in the cache.",
		func() float64 { return float64(c.used()) })
	return &metrics{hits: asked.WithLabelValues("hit"), misses: asked.WithLabelValues("miss"), shared: asked.WithLabelValues("shared")}
}
