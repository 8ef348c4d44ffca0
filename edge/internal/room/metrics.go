package room

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	deliveries, acks, recalls, resumes, gaps, holes prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, g *Registry) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gotapi", Subsystem: "edge", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "gotapi", Subsystem: "edge", Name: name, Help: help,
		}, value))
	}
	gauge("rooms", "Groups that have members here.", func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(len(g.rooms))
	})
	gauge("members", "Connections that are members of a group.", func() float64 {
		n := 0
		for _, count := range g.Members() {
			n += int(count)
		}
		return float64(n)
	})
	return &metrics{
		deliveries: counter("deliveries_total", "Packets queued to members, without acks."),
		acks:       counter("acks_total", "Acks queued to senders."),
		recalls:    counter("recalls_total", "Recalls that came for groups with members here."),
		resumes:    counter("resumes_total", "Members that read the history after a message before they were live."),
		gaps:       counter("gaps_total", "Times that a room had to start over because messages were lost."),
		holes:      counter("holes_total", "Times that a room attached anew because an event did not follow."),
	}
}

type pageMetrics struct {
	reads   prometheus.Counter
	waiting prometheus.Gauge
}

func newPageMetrics(reg prometheus.Registerer) *pageMetrics {
	m := &pageMetrics{
		reads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gotapi_edge_resume_reads_total",
			Help: "Reads of the store for members that resume; those who resume from one place share one.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gotapi_edge_resume_reads_waiting",
			Help: "Reads that wait for their turn.",
		}),
	}
	reg.MustRegister(m.reads, m.waiting)
	return m
}
