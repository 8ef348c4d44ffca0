package relayserver

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
)

func fleetOf(streams int) (*fleet, []*peer) {
	m := newFleet()
	peers := make([]*peer, streams)
	for i := range peers {
		peers[i] = &peer{}
		m.begin(peers[i])
	}
	return m, peers
}

func allowed(m *fleet, peers []*peer, others int, now time.Time) (n int) {
	for _, p := range peers {
		if m.allow(p, others, now) {
			n++
		}
	}
	return n
}

func TestAFewStreamsMayLeaveAtOnce(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ streams, others, want int }{
		{8, 0, 2},
		{80, 0, 10},
		{3, 0, 1}, // the second would only change places
		{2, 0, 1},
		{1, 0, 0},
		{4, 3, 0},
		{5, 3, 1},
		{4, 9, 0},
	} {
		m, peers := fleetOf(tt.streams)
		if got := allowed(m, peers, tt.others, now); got != tt.want {
			t.Errorf("%d streams, another service has %d: %d may leave, want %d", tt.streams, tt.others, got, tt.want)
		}
	}
}

func TestEdgesAreKnownByWhatTheyRun(t *testing.T) {
	f, peers := fleetOf(3)
	f.greet(peers[0], &relayv1.Hello{Edge: 7, Version: "v2"})
	f.greet(peers[1], &relayv1.Hello{Edge: 3, Version: "v2"})
	f.greet(&peer{}, &relayv1.Hello{Edge: 4, Version: "v1"}) // its stream has ended
	if got := f.versions(); len(got) != 1 || got["v2"] != 2 {
		t.Errorf("versions: %v, want v2 twice", got)
	}
	if got := f.edges(); len(got) != 2 || got[0].GetEdge() != 3 || got[1].GetEdge() != 7 {
		t.Errorf("edges: %v, want 3 and 7", got)
	}
	f.end(peers[0])
	f.end(peers[1])
	if got := f.versions(); len(got) != 0 {
		t.Errorf("versions: %v, want none", got)
	}
}

// What an edge says is for operators, and has bounds.
func TestEdgesSayWhatIsWrongWithThem(t *testing.T) {
	f, peers := fleetOf(1)
	f.note(peers[0], &relayv1.Health{Alarms: []*relayv1.Alarm{{Name: "early"}}}) // it has not said who it is
	f.greet(peers[0], &relayv1.Hello{Edge: 7, Version: "v2", Commit: "c0ffee", Host: "h:4998"})
	flood := make([]*relayv1.Alarm, 1000)
	for i := range flood {
		flood[i] = &relayv1.Alarm{Name: strings.Repeat("n", 1000), Text: strings.Repeat("\xff", 1000) + "t"}
	}
	for _, tt := range []struct {
		health *relayv1.Health
		want   int
	}{
		{&relayv1.Health{Alarms: []*relayv1.Alarm{{Name: "a", Text: "b"}}}, 1},
		{nil, 1}, // nothing new
		{&relayv1.Health{Alarms: flood}, maxAlarms},
		{&relayv1.Health{}, 0},
	} {
		f.note(peers[0], tt.health)
		edge := f.edges()[0]
		if len(edge.GetAlarms()) != tt.want || edge.GetHost() != "h:4998" || edge.GetCommit() != "c0ffee" {
			t.Errorf("after %d alarms: %v, want %d", len(tt.health.GetAlarms()), edge, tt.want)
		}
		for _, a := range edge.GetAlarms() {
			if len(a.GetName()) > maxName || len(a.GetText()) > maxAlarm || !utf8.ValidString(a.GetText()) {
				t.Errorf("alarm %q", a)
			}
		}
	}
}

// A stream may be open for months: the frames that it began with must not be.
func TestWhatAnEdgeSaysHoldsNoFrame(t *testing.T) {
	frame := strings.Repeat("x", 1<<20)
	for _, text := range []string{frame, frame[:3]} {
		if got := clip(text, maxName); unsafe.StringData(got) == unsafe.StringData(frame) {
			t.Errorf("%d bytes hold the frame that they came in", len(got))
		}
	}
}

func TestARefusedEdgeIsAnAlarmForAMinute(t *testing.T) {
	f, _ := fleetOf(0)
	now := time.Now()
	f.refuse("update the edge", now)
	if got := f.alarms(now.Add(refusedLately)); len(got) != 1 {
		t.Errorf("after a minute: %v, want one", got)
	}
	if got := f.alarms(now.Add(refusedLately + time.Second)); len(got) != 0 {
		t.Errorf("later: %v, want none", got)
	}
}

func TestALeaveEndsWithItsStreamOrItsTime(t *testing.T) {
	m, peers := fleetOf(8)
	now := time.Now()
	if got := allowed(m, peers, 0, now); got != 2 {
		t.Fatalf("%d may leave, want 2", got)
	}
	m.end(peers[0]) // gone: 7 streams, of which one still may leave
	if got := allowed(m, peers[2:], 1, now); got != 1 {
		t.Errorf("after one has left, %d may leave, want 1", got)
	}
	if got := allowed(m, peers[4:], 1, now.Add(moveTime)); got != 2 {
		t.Errorf("after the time of both, %d may leave, want 2", got)
	}
}

// Eight edges, two services, one of which has all streams; then a third one comes; and
// other beginnings. Edges ask every two seconds, know what the others had a beat ago, and
// take a second to move, when they are counted on both sides.
func TestNoServiceHasMoreThanItsShareAfterAMinute(t *testing.T) {
	const (
		step    = 250 * time.Millisecond
		askIn   = 8 // steps
		moveIn  = 4 // steps
		minute  = int(time.Minute / step)
		seedOne = 7
	)
	type stream struct {
		*peer
		at, to int // to: where it moves; -1: nowhere
		since  int
		second *peer
	}
	for _, services := range [][]int{{8, 0}, {4, 4, 0}, {1000, 0, 0}, {7, 7, 7, 0, 0}, {0, 0, 100, 3, 0, 41}, {1, 0, 0}, {5}} {
		rng := rand.New(rand.NewPCG(seedOne, 0))
		all := make([]*fleet, len(services))
		var streams []*stream
		for i, n := range services {
			m, peers := fleetOf(n)
			all[i] = m
			for _, p := range peers {
				streams = append(streams, &stream{peer: p, at: i, to: -1})
			}
		}
		now := time.Now()
		known := make([]int, len(all))
		for n := range minute {
			for i, m := range all {
				known[i] = m.count()
			}
			for _, s := range streams {
				switch {
				case s.to >= 0 && n-s.since >= moveIn:
					all[s.at].end(s.peer)
					s.at, s.to, s.peer = s.to, -1, s.second
				case s.to < 0 && rng.IntN(askIn) == 0:
					least := rng.IntN(len(all))
					for i := range known {
						if known[i] < known[least] {
							least = i
						}
					}
					if least != s.at && all[s.at].allow(s.peer, known[least], now) {
						s.to, s.since, s.second = least, n, &peer{}
						all[least].begin(s.second)
					}
				}
			}
			now = now.Add(step)
		}
		fair := (len(streams) + len(all) - 1) / len(all)
		var after []int
		for _, m := range all {
			after = append(after, m.count())
		}
		if slices.Max(after) > fair+1 {
			t.Errorf("%v: after a minute %v, want at most %d", services, after, fair+1)
		}
	}
}
