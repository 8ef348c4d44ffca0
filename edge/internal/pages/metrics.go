package pages

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ hits, misses, shared prometheus.Counter }

func newMetrics(reg prometheus.Registerer, c *cache) *metrics {
	asked := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_edge_pages_total",
		Help: "Pages of history that were got for HTTP: hit (the one that the edge or the client had still held), miss (it was read anew) or shared (with another request that came at the same time).",
	}, []string{"result"})
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_edge_page_cache_bytes",
		Help: "Bytes of pages of history that the edge keeps.",
	}, func() float64 { return float64(c.used()) })
	reg.MustRegister(asked, bytes)
	return &metrics{hits: asked.WithLabelValues("hit"), misses: asked.WithLabelValues("miss"), shared: asked.WithLabelValues("shared")}
}
