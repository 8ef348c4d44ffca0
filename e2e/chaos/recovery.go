package main

import (
	"slices"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// recovery is how long the system needed after faults of one kind: the longest
// silence of any room, and of any member, that began before the fault's effects
// were over, from the beginning of the fault.
type recovery struct {
	// How long the faults lasted.
	lasts []time.Duration
	// Until every room had acked again, and every member received again.
	publish, receive []time.Duration
}

// Of the time after a fault, how much is looked at.
const afterFault = 8 * time.Second

// A pause that is shorter is how people talk on a loaded machine; one that begins
// later after the end of a fault has another reason.
const (
	pauseFrom  = 500 * time.Millisecond
	pauseStart = 500 * time.Millisecond
)

// measure adds the recoveries of a round. Faults that overlap are left out: whose
// silence it was is not to be known. talked is when no new messages were sent.
func measure(all map[string]*recovery, faults []injection, rec *check.Recording, w *workload, talked check.Time) {
	acks, receipts := ackTimes(rec, w), receiptTimes(rec, w)
	for n, f := range faults {
		if !f.alone {
			continue
		}
		until := min(f.to+afterFault, talked)
		if n+1 < len(faults) {
			until = min(until, faults[n+1].from)
		}
		if all[f.kind.name] == nil {
			all[f.kind.name] = &recovery{}
		}
		r := all[f.kind.name]
		r.lasts = append(r.lasts, f.to-f.from)
		r.publish = append(r.publish, longest(acks, f.from, f.to+pauseStart, until))
		r.receive = append(r.receive, longest(receipts, f.from, f.to+pauseStart, until))
	}
}

// ackTimes are when each busy room got an ack.
func ackTimes(rec *check.Recording, w *workload) [][]check.Time {
	var all [][]check.Time
	for n, g := range rec.Groups {
		if w.rooms[n].quiet {
			continue
		}
		var times []check.Time
		for _, m := range g.Messages {
			for _, s := range m.Sends {
				if s.Conn == nil && s.Code == 200 {
					times = append(times, s.Answered)
				}
			}
		}
		for _, c := range g.Conns {
			for i := range c.Events {
				if c.Events[i].Kind == check.Ack {
					times = append(times, c.Events[i].At)
				}
			}
		}
		slices.Sort(times)
		all = append(all, times)
	}
	return all
}

// receiptTimes are when each member of a busy room received something of the
// stream, on any connection. Readers that edges do not serve are left out: they stay
// with one history service until their own keepalive gives it up.
func receiptTimes(rec *check.Recording, w *workload) [][]check.Time {
	var all [][]check.Time
	for n, g := range rec.Groups {
		if w.rooms[n].quiet {
			continue
		}
		members := make(map[string][]check.Time)
		for _, c := range g.Conns {
			if !c.Reader.ThroughEdge {
				continue
			}
			for i := range c.Events {
				if k := c.Events[i].Kind; k == check.Got || k == check.Ack {
					members[c.Member] = append(members[c.Member], c.Events[i].At)
				}
			}
		}
		for _, times := range members {
			slices.Sort(times)
			all = append(all, times)
		}
	}
	return all
}

// longest finds the longest pause of each that began or went on after from, and
// before to; and of these the latest end, counted from from; 0 if there was none.
func longest(all [][]check.Time, from, to, until check.Time) time.Duration {
	var worst time.Duration
	for _, times := range all {
		last := from
		var pause, ended time.Duration
		i, _ := slices.BinarySearch(times, from)
		for ; i <= len(times); i++ {
			at := until
			if i < len(times) {
				at = min(times[i], until)
			}
			if at-last > pause && last <= to {
				pause, ended = at-last, at-from
			}
			if at == until {
				break
			}
			last = at
		}
		if pause >= pauseFrom {
			worst = max(worst, ended)
		}
	}
	return worst
}

// percentile of times that need not be sorted.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
