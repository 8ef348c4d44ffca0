package session

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

type metrics struct {
	messages        [packet.BadUUID + 1]prometheus.Counter
	refusals        *prometheus.CounterVec
	refusedUpgrades map[refusal]prometheus.Counter
	waitingUpgrades prometheus.Gauge
	lostBroadcasts  prometheus.Counter
	ends            map[end]prometheus.Counter
	opened          prometheus.Counter
}

var kindNames = map[packet.Kind]string{
	packet.Low: "low", packet.Data: "data", packet.Ping: "ping", packet.Receipt: "receipt",
	packet.Query: "query", packet.Dropped: "dropped", packet.BadUUID: "bad_uuid",
}

// refusalNames are the values of the label reason.
var refusalNames = map[refusal]string{
	refusedDraining: "draining", refusedFull: "full", refusedRate: "rate", refusedGroup: "group",
}

func newMetrics(reg prometheus.Registerer, s *Server) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "gotapi", Subsystem: "edge", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	messages := prometheus.NewCounterVec(prometheus.CounterOpts(
		opts("messages_total", "WebSocket messages that came in, by what they are.")), []string{"kind"})
	m := &metrics{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("refusals_total", "Packets answered with command 7, by code.")), []string{"code"}),
		refusedUpgrades: make(map[refusal]prometheus.Counter),
		waitingUpgrades: prometheus.NewGauge(prometheus.GaugeOpts(
			opts("waiting_upgrades", "WebSocket requests that wait for their turn."))),
		lostBroadcasts: counter("lost_broadcasts_total", "Packets from WebSockets that are not stored and were not taken on."),
		ends:           make(map[end]prometheus.Counter, len(ends)),
		opened:         counter("connections_total", "WebSockets that were opened."),
	}
	disconnects := prometheus.NewCounterVec(prometheus.CounterOpts(
		opts("disconnects_total", "WebSockets that ended, by reason.")), []string{"reason"})
	for _, e := range ends {
		m.ends[e] = disconnects.WithLabelValues(string(e))
	}
	for _, code := range refusalCodes {
		m.refusals.WithLabelValues(strconv.Itoa(code))
	}
	for kind, name := range kindNames {
		m.messages[kind] = messages.WithLabelValues(name)
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts(
		opts("refused_upgrades_total", "WebSocket requests answered with 503, by reason.")), []string{"reason"})
	for why, name := range refusalNames {
		m.refusedUpgrades[why] = refused.WithLabelValues(name)
	}
	reg.MustRegister(messages, disconnects, m.opened, m.refusals, refused, m.waitingUpgrades, m.lostBroadcasts,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("sessions", "Open WebSockets.")),
			func() float64 { return float64(len(s.all())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("queries_under_way", "Queries over WebSockets whose page is being fetched.")),
			func() float64 { return float64(len(s.queries)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("queue_bytes", "Bytes that wait to be sent to peers.")),
			func() float64 { return float64(s.queued()) }))
	return m
}

func (m *metrics) count(k packet.Kind) { m.messages[k].Inc() }

func (m *metrics) ended(e end) { m.ends[e].Inc() }

// refusalCodes are those of command 7 (docs/protocol.md, section 2.2).
var refusalCodes = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

func (m *metrics) refuse(code int) { m.refusals.WithLabelValues(strconv.Itoa(code)).Inc() }

func (s *Server) queued() int {
	n := 0
	for _, c := range s.all() {
		n += c.out.Queued()
	}
	return n
}
