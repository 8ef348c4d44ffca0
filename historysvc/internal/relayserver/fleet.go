package relayserver

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/services/alarm"
)

// alertVersions is an alert of docs/operations.md.
const alertVersions = "GotapiVersionsDiffer"

const (
	// How long the refusal of an edge is worth an alarm.
	refusedLately = time.Minute
	// Of a service's streams, 1/movingShare may move to other services at once, and
	// always movingAtLeast: each of them is open twice for about a second.
	movingShare, movingAtLeast = 8, 2
	// How long an edge may take to move before its leave counts for nothing
	// (relay.proto).
	moveTime = 15 * time.Second
	// Edges that are named in a heartbeat's answer.
	maxListed = 1000
	// Limits on an edge's self-description and on each alarm, bytes, and on its alarms.
	maxName, maxAlarm, maxAlarms = 64, 512, 16
)

// fleet is the edges that have streams. It decides which of them may leave for a service
// that has fewer. One that may counts as gone already, so that no more leave than are
// too many.
type fleet struct {
	mu sync.Mutex
	// What they have said of themselves; nil: nothing yet.
	streams map[*peer]*relayv1.Edge
	// Since when a stream may leave.
	leaving map[*peer]time.Time
	// The last edge that was refused for its version: why, and when.
	refused   string
	refusedAt time.Time
}

func newFleet() *fleet {
	return &fleet{streams: make(map[*peer]*relayv1.Edge), leaving: make(map[*peer]time.Time)}
}

// begin counts a stream.
func (f *fleet) begin(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[p] = nil
}

// greet notes what an edge has said of itself.
func (f *fleet) greet(p *peer, hello *relayv1.Hello) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, open := f.streams[p]; open {
		f.streams[p] = &relayv1.Edge{
			Edge: hello.GetEdge(), Version: clip(hello.GetVersion(), maxName),
			Commit: clip(hello.GetCommit(), maxName), Host: clip(hello.GetHost(), maxName),
		}
	}
}

// clip returns a copy of the first bytes of a text from elsewhere, as valid UTF-8: the
// frame that it came in may be large.
func clip(text string, most int) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), most)], ""))
}

// note takes the alarms of an edge; nil: this frame has no Health.
func (f *fleet) note(p *peer, health *relayv1.Health) {
	if health == nil { // most frames: they must not wait for those of all edges
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.streams[p]
	if before == nil {
		return
	}
	// The one before may be on its way to somebody.
	edge := &relayv1.Edge{Edge: before.GetEdge(), Version: before.GetVersion(), Commit: before.GetCommit(), Host: before.GetHost()}
	for _, a := range health.GetAlarms()[:min(len(health.GetAlarms()), maxAlarms)] {
		edge.Alarms = append(edge.Alarms, &relayv1.Alarm{Name: clip(a.GetName(), maxName), Text: clip(a.GetText(), maxAlarm)})
	}
	f.streams[p] = edge
}

// refuse notes that an edge was refused for its version, and why.
func (f *fleet) refuse(why string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused, f.refusedAt = why, now
}

// alarms returns an alarm if an edge was refused lately. A refused edge keeps retrying.
func (f *fleet) alarms(now time.Time) []alarm.Alarm {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == "" || now.Sub(f.refusedAt) > refusedLately {
		return nil
	}
	return []alarm.Alarm{{Name: alertVersions, Text: "an edge was refused: " + f.refused}}
}

// end forgets a stream.
func (f *fleet) end(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.streams, p)
	delete(f.leaving, p)
}

// count returns the number of streams.
func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.streams)
}

// versions returns how many edges run each version.
func (f *fleet) versions() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]int)
	for _, edge := range f.streams {
		if edge != nil {
			counts[edge.GetVersion()]++
		}
	}
	return counts
}

// edges returns up to maxListed edges, in the order of their names.
func (f *fleet) edges() []*relayv1.Edge {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*relayv1.Edge
	for _, edge := range f.streams {
		if edge != nil {
			all = append(all, edge)
		}
	}
	slices.SortFunc(all, func(a, b *relayv1.Edge) int { return cmp.Compare(a.GetEdge(), b.GetEdge()) })
	return all[:min(len(all), maxListed)]
}

// allow reports whether p may leave for a service with that many streams.
func (f *fleet) allow(p *peer, others int, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one, since := range f.leaving {
		if now.Sub(since) >= moveTime {
			delete(f.leaving, one)
		}
	}
	delete(f.leaving, p) // it asks again
	leaving := len(f.leaving)
	if leaving >= max(movingAtLeast, len(f.streams)/movingShare) {
		return false
	}
	// If all of them go there, the other one must not have more than this one.
	if staying := len(f.streams) - leaving; staying-1 < others+leaving+1 {
		return false
	}
	f.leaving[p] = now
	return true
}
