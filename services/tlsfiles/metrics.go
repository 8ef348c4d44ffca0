package tlsfiles

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	reloaded, refused, handshakes prometheus.Counter
}

func newMetrics(f *Files, reg prometheus.Registerer) *metrics {
	use := prometheus.Labels{"use": f.use}
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_tls_reloads_total", ConstLabels: use,
		Help: "Times that TLS files had changed, by whether the new ones are in use (ok) or could not be used (refused).",
	}, []string{"result"})
	m := &metrics{
		reloaded: reloads.WithLabelValues("ok"),
		refused:  reloads.WithLabelValues("refused"),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_tls_handshake_failures_total", ConstLabels: use,
			Help: "gRPC connections that were refused, by us or by the peer, because of TLS.",
		}),
	}
	reg.MustRegister(reloads, m.handshakes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_tls_certificate_expiry_timestamp_seconds", ConstLabels: use,
		Help: "When the certificate in use expires, Unix time; 0: there is none.",
	}, func() float64 {
		if expires := f.Expires(); !expires.IsZero() {
			return float64(expires.Unix())
		}
		return 0
	}))
	return m
}
