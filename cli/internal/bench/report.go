package bench

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what was measured; docs/cli.md promises its JSON.
type Report struct {
	// Mode is "closed" or "open"; TargetRate is of the latter.
	Mode       string  `json:"mode"`
	TargetRate float64 `json:"target_rate,omitempty"`
	Seconds    float64 `json:"seconds"`
	Groups     int     `json:"groups"`
	Publishers int     `json:"publishers"`
	// Subscribers in all groups together, as Publishers.
	Subscribers int `json:"subscribers"`
	Size        int `json:"size_bytes"`

	Acked       int64   `json:"acked"`
	AckedPerSec float64 `json:"acked_per_second"`
	Refused     int64   `json:"refused"`
	// Unanswered were sent and have an unknown outcome; Unsent were due, but could not be sent.
	Unanswered int64   `json:"unanswered"`
	Unsent     int64   `json:"unsent"`
	Ack        Latency `json:"ack_latency_ms"`

	// Expected deliveries are those of acked messages.
	Expected       int64   `json:"deliveries_expected"`
	Deliveries     int64   `json:"deliveries"`
	DeliveriesPS   float64 `json:"deliveries_per_second"`
	Delivery       Latency `json:"delivery_latency_ms"`
	Disconnections int64   `json:"disconnections"`
	Gaps           int64   `json:"gaps"`
}

// Latency is a distribution, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Complete reports whether the measurement can be trusted: everything due was sent and
// acked, and all deliveries came.
func (r Report) Complete() bool {
	return r.Refused == 0 && r.Unanswered == 0 && r.Unsent == 0 && r.Deliveries >= r.Expected && r.Gaps == 0
}

// tally counts while a measurement runs.
type tally struct {
	acked, refused, unanswered, unsent atomic.Int64
	deliveries, disconnections, gaps   atomic.Int64
	acks, delivers                     histogram
}

func (t *tally) ack(d time.Duration) {
	t.acked.Add(1)
	t.acks.add(d)
}

func (t *tally) delivered(d time.Duration) {
	t.deliveries.Add(1)
	t.delivers.add(d)
}

func (r *run) report(measured time.Duration) Report {
	t, p := &r.tally, r.plan
	seconds := max(measured, 0).Seconds()
	perSecond := func(n int64) float64 {
		if seconds == 0 {
			return 0
		}
		return float64(n) / seconds
	}
	report := Report{
		Mode: "closed", Seconds: seconds,
		Groups: p.Groups, Publishers: p.publishers(), Subscribers: p.Groups * p.Subscribers, Size: p.Size,
		Acked: t.acked.Load(), Refused: t.refused.Load(), Unanswered: t.unanswered.Load(), Unsent: t.unsent.Load(),
		Ack: t.acks.latency(), Delivery: t.delivers.latency(),
		Deliveries: t.deliveries.Load(), Disconnections: t.disconnections.Load(), Gaps: t.gaps.Load(),
	}
	if p.Rate > 0 {
		report.Mode, report.TargetRate = "open", p.Rate
	}
	report.AckedPerSec, report.DeliveriesPS = perSecond(report.Acked), perSecond(report.Deliveries)
	report.Expected = report.Acked * int64(p.Subscribers)
	return report
}

// Range and precision of the histograms, microseconds: one in a hundred.
const (
	lowest, highest = 1, 10 * 60 * 1e6
	digits          = 2
	shards          = 16
)

// histogram is several, so that many goroutines can add at the same time.
type histogram struct {
	shard [shards]struct {
		mu sync.Mutex
		h  *hdrhistogram.Histogram
	}
}

func (h *histogram) add(d time.Duration) {
	s := &h.shard[rand.IntN(shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h == nil {
		s.h = hdrhistogram.New(lowest, highest, digits)
	}
	_ = s.h.RecordValue(min(max(d.Microseconds(), lowest), highest)) // within its range
}

func (h *histogram) latency() Latency {
	all := hdrhistogram.New(lowest, highest, digits)
	for i := range h.shard {
		s := &h.shard[i]
		s.mu.Lock()
		if s.h != nil {
			all.Merge(s.h)
		}
		s.mu.Unlock()
	}
	if all.TotalCount() == 0 {
		return Latency{}
	}
	ms := func(percent float64) float64 { return float64(all.ValueAtQuantile(percent)) / 1000 }
	return Latency{P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(all.Max()) / 1000}
}
