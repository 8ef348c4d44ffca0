package session

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/wire/header"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

type metrics struct {
	messages        [packet.BadUUID + 1]prometheus.Counter
	requests        [header.Ping + 1]prometheus.Counter
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

func newMetrics(reg prometheus.Registerer) *metrics {
	in := metric.In(reg)
	messages := in.Counters("gotapi_edge_messages_total", "WebSocket messages received, by kind.", "kind")
	requests := in.Counters("gotapi_edge_v2_requests_total", "Requests over gotapi.v2, by kind; unknown: no request could be read.", "do")
	disconnects := in.Counters("gotapi_edge_disconnects_total", "WebSockets closed, by reason.", "reason")
	refused := in.Counters("gotapi_edge_refused_upgrades_total", "WebSocket requests answered with 503, by reason.", "reason")
	m := &metrics{
		refusals:        in.Counters("gotapi_edge_refusals_total", "Packets and requests refused, by code.", "code"),
		refusedUpgrades: make(map[refusal]prometheus.Counter),
		waitingUpgrades: in.Gauge("gotapi_edge_waiting_upgrades", "WebSocket requests queued by -upgrade-rate."),
		lostBroadcasts:  in.Counter("gotapi_edge_lost_broadcasts_total", "Packets from WebSockets that are not stored, and that the history service did not accept."),
		ends:            make(map[end]prometheus.Counter, len(ends)),
		opened:          in.Counter("gotapi_edge_connections_total", "WebSockets opened."),
	}
	for _, e := range ends {
		m.ends[e] = disconnects.WithLabelValues(string(e))
	}
	for _, code := range refusalCodes {
		m.refusals.WithLabelValues(strconv.Itoa(code))
	}
	for kind, name := range kindNames {
		m.messages[kind] = messages.WithLabelValues(name)
	}
	for do := range m.requests {
		m.requests[do] = requests.WithLabelValues(header.Do(do).String())
	}
	for why, name := range refusalNames {
		m.refusedUpgrades[why] = refused.WithLabelValues(name)
	}
	return m
}

// registerGauges registers what s knows at any time.
func registerGauges(reg prometheus.Registerer, s *Server) {
	gauge := func(name, help string, value func() int) {
		metric.In(reg).GaugeFunc(name, help, func() float64 { return float64(value()) })
	}
	gauge("gotapi_edge_sessions", "Open WebSockets.", s.sessions.len)
	gauge("gotapi_edge_queries_under_way", "Queries over WebSockets whose page is being fetched.", func() int { return int(s.queries.Used()) })
	gauge("gotapi_edge_queue_bytes", "Bytes queued for peers.", s.sessions.queuedBytes)
}

func (m *metrics) count(k packet.Kind) { m.messages[k].Inc() }

func (m *metrics) countRequest(do header.Do) { m.requests[do].Inc() }

func (m *metrics) ended(e end) { m.ends[e].Inc() }

// refusalCodes are those of command 7 (docs/protocol.md, section 2.2), and of answers.
var refusalCodes = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge,
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

func (m *metrics) refuse(code int) { m.refusals.WithLabelValues(strconv.Itoa(code)).Inc() }
