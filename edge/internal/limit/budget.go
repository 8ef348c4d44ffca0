package limit

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gotapi/gotapi-ws/internal/metric"
	"github.com/gotapi/gotapi-ws/internal/quota"
)

// budgetShare is the part of the memory that a Budget has: 1/2. The other half is for the
// heap's own slack, publications under way and cached pages, which have bounds of their
// own.
const budgetShare = 2

// Budget is the memory that clients together may make the process hold, in parts:
// a flood of one kind leaves the others what is theirs.
type Budget struct {
	// Queues is for what waits for members beyond their own queues: 1/4.
	Queues *quota.Share
	// Fetches is for pages of history until they are encoded: 1/4.
	Fetches *quota.Share
	// Pages is for encoded pages that are being sent: 1/4.
	Pages *quota.Share
	// Resumes is for members that catch up: 1/8.
	Resumes *quota.Share
	// Inputs is for bodies of requests and messages of WebSockets that are not complete:
	// 1/8.
	Inputs *quota.Share
}

const (
	// MaxPageBytes is where a page of history ends for members and over HTTP. A message
	// is taken for one of messageBytes before its page is there.
	MaxPageBytes = 8 << 20
	messageBytes = 4 << 10
	// SmallPage is up to how many bytes a page is not worth counting while it is sent:
	// the system's own buffers take it.
	SmallPage = 64 << 10
	// pageCopies is how often a page is in memory while it is fetched: as it came over
	// the wire, decoded, and encoded.
	pageCopies = 3
)

// FetchCost returns what fetching a page of so many messages is expected to take.
func FetchCost(messages int) int64 { return PageCost(messages * messageBytes) }

// PageCost returns about what fetching a page of so many bytes takes.
func PageCost(bytes int) int64 { return pageCopies * int64(min(bytes, MaxPageBytes)) }

// NewBudget returns the Budget of a process that may use that much memory, in bytes.
func NewBudget(memory int64, reg prometheus.Registerer) *Budget {
	n := memory / budgetShare
	b := &Budget{
		Queues: quota.NewShare(n / 4), Fetches: quota.NewShare(n / 4), Pages: quota.NewShare(n / 4),
		Resumes: quota.NewShare(n / 8), Inputs: quota.NewShare(n / 8),
	}
	for part, s := range b.parts() {
		in := metric.In(prometheus.WrapRegistererWith(prometheus.Labels{"part": part}, reg))
		in.GaugeFunc("gotapi_edge_budget_used_bytes", "Bytes that clients make the edge hold, by part of the budget.",
			func() float64 { return float64(s.Used()) })
		in.GaugeFunc("gotapi_edge_budget_bytes", "Bytes that clients may make the edge hold, by part of the budget; half of the memory limit in all.",
			func() float64 { return float64(s.Size()) })
		in.CounterFunc("gotapi_edge_budget_refused_total", "Requests and connections refused or closed because their part of the budget was used up.",
			func() float64 { return float64(s.Refusals()) })
	}
	return b
}

// parts are all parts, by their names.
func (b *Budget) parts() map[string]*quota.Share {
	return map[string]*quota.Share{"queues": b.Queues, "fetches": b.Fetches, "pages": b.Pages, "resumes": b.Resumes, "inputs": b.Inputs}
}

// nearlyFull is the used share from which on a part is nearly full: clients that are
// known by their address only may hold three quarters of it.
const nearlyFull = 0.7

// NearlyFull returns the names of the parts of which little is left, in order.
func (b *Budget) NearlyFull() (names []string) {
	for name, s := range b.parts() {
		if float64(s.Used()) >= nearlyFull*float64(s.Size()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
