package tlsfiles

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	reloaded, refused, handshakes prometheus.Counter
}

func newMetrics(f *Files, reg prometheus.Registerer) *metrics {
	use := prometheus.Labels{"use": f.use}
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gotapi_tls_reloads_total", ConstLabels: use,
		Help: "Changes of TLS files, by result: ok (the new ones are in use) or refused (they are invalid).",
	}, []string{"result"})
	m := &metrics{
		reloaded: reloads.WithLabelValues("ok"),
		refused:  reloads.WithLabelValues("refused"),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_tls_handshake_failures_total", ConstLabels: use,
			Help: "gRPC connections refused because of TLS, by this process or by the peer.",
		}),
	}
	reg.MustRegister(reloads, m.handshakes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gotapi_tls_certificate_expiry_timestamp_seconds", ConstLabels: use,
		Help: "Unix time at which the certificate in use expires; 0: no certificate.",
	}, func() float64 {
		if expires := f.Expires(); !expires.IsZero() {
			return float64(expires.Unix())
		}
		return 0
	}))
	return m
}
