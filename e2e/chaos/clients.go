package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// reader is a client that follows the streams of rooms, and may write as well. It
// stays until all readers have everything.
type reader interface {
	run(ctx context.Context)
	// goals are those of the rooms that it follows.
	goals() []roomGoal
}

// roomGoal is what a reader waits for in a room.
type roomGoal struct {
	room *room
	goal *goal
}

// writer is a client that only asks. It leaves before the last messages.
type writer interface {
	run(ctx context.Context)
}

// seat is what a client needs to know of the run.
type seat struct {
	room *room
	// That one and its neighbours, for clients that are in several.
	rooms []*room
	name  string
	// Where the edges and the history services are.
	edges, services []string
	rng             *rand.Rand
	// Mean time between two messages of a publisher: in most rooms, and in this one.
	busy, pace time.Duration
	// Closed when no new messages are wanted.
	closing <-chan struct{}
}

// ending reports whether no new messages are wanted.
func (s *seat) ending() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// about draws a time of that mean.
func (s *seat) about(mean time.Duration) time.Duration {
	return time.Duration(s.rng.ExpFloat64() * float64(mean))
}

// readerKinds and writerKinds are the clients of each room. A new way to read or to
// write is a row here, a type in a file of its own that records what it sees, and
// perhaps a check.Reader.
var readerKinds = []struct {
	name string
	// How many are in a room.
	count func(size) int
	// present: /__/groups counts it.
	present bool
	sit     func(seat) reader
}{
	{"publisher", func(s size) int { return s.publishers }, true, func(s seat) reader {
		m := newMember(s)
		m.every = s.pace
		return m
	}},
	{"resident", one, true, func(s seat) reader {
		m := newMember(s)
		m.lowEvery = time.Second
		return m
	}},
	{"guest", func(s size) int { return s.listeners - 1 }, true, func(s seat) reader {
		m := newMember(s)
		m.stays = 8 * time.Second
		return m
	}},
	{"multi", one, true, func(s seat) reader { return newMulti(s) }},
	{"streamer", one, true, func(s seat) reader { return newStreamer(s, s.rooms...) }},
	{"poller", one, false, func(s seat) reader { return newStreamer(s, s.room) }},
	{"watcher", one, false, func(s seat) reader { return newWatcher(s) }},
}

var writerKinds = []struct {
	name  string
	count func(size) int
	sit   func(seat) writer
}{
	{"visitor", one, func(s seat) writer { return newVisitor(s) }},
}

func one(size) int { return 1 }
