package relayserver

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

const (
	// Of a service's streams, 1/movingShare may move to other services at once, and
	// always movingAtLeast: each of them is open twice for about a second.
	movingShare, movingAtLeast = 8, 2
	// How long an edge may take to move before its leave counts for nothing
	// (relay.proto).
	moveTime = 15 * time.Second
	// Edges that are named in a heartbeat's answer.
	maxListed = 1000
	// Bytes of a version.
	maxVersion = 64
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
		version := strings.ToValidUTF8(hello.GetVersion()[:min(len(hello.GetVersion()), maxVersion)], "")
		f.streams[p] = &relayv1.Edge{Edge: hello.GetEdge(), Version: version}
	}
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
