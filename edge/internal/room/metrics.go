package room

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
)

type metrics struct {
	deliveries, acks, recalls, resumes, gaps, holes prometheus.Counter
	memberGaps, fallBehinds, missed, heldBack       prometheus.Counter
	resumeReads                                     prometheus.Counter
	resumeReadsWaiting                              prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, g *Registry) *metrics {
	in := metric.In(reg)
	in.GaugeFunc("gotapi_edge_rooms", "Groups that have members here.", func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(len(g.rooms))
	})
	in.GaugeFunc("gotapi_edge_members", "Connections that are members of a group.", func() float64 {
		n := 0
		for _, count := range g.Members() {
			n += int(count)
		}
		return float64(n)
	})
	return &metrics{
		deliveries: in.Counter("gotapi_edge_deliveries_total", "Packets queued to members, without acks."),
		acks:       in.Counter("gotapi_edge_acks_total", "Acks queued to senders."),
		recalls:    in.Counter("gotapi_edge_recalls_total", "Recalls received for groups with members here."),
		resumes:    in.Counter("gotapi_edge_resumes_total", "Members that read the history since a message before they went live."),
		gaps:       in.Counter("gotapi_edge_gaps_total", "Times that a room started over because messages were lost."),
		heldBack:   in.Counter("gotapi_edge_held_back_total", "Publications delayed for up to a second because members of their group were far behind."),
		holes:      in.Counter("gotapi_edge_holes_total", "Times that a room attached again because events were missing."),
		memberGaps: in.Counter("gotapi_edge_member_gaps_total",
			"Times that a member continued after a gap, because events were lost. Members of gotapi.v1 are closed instead."),
		fallBehinds: in.Counter("gotapi_edge_fall_behinds_total",
			"Times that a member's share of its connection's queue was full, so that it had to read from the store."),
		missed: in.Counter("gotapi_edge_missed_packets_total",
			"Packets that are not stored, missed by members whose share of the queue was full."),
		resumeReads: in.Counter("gotapi_edge_resume_reads_total",
			"Reads of the store for members that resume; members that resume from the same position share one."),
		resumeReadsWaiting: in.Gauge("gotapi_edge_resume_reads_waiting", "Reads of the store that wait for others to end."),
	}
}
