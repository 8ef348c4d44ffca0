package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/relay/v1"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// of is a batch of messages from 1 on, to these groups.
func (a *answers) of(groups ...group.Name) (batch []*Publication) {
	for i, g := range groups {
		p := a.publication(uint32(i+1), stream.Message)
		p.Group = g
		batch = append(batch, p)
	}
	return batch
}

func TestARunGoesIntoOneFrame(t *testing.T) {
	now := time.Now()
	l := newLedger(1000, 1<<30)
	add := func(n, items, bytes int) {
		r := &run{number: uint32(n)}
		for range items {
			e := newEntry(&Publication{Number: uint32(n), Payload: make([]byte, bytes)}, now)
			e.join(r)
			l.add(e)
		}
	}
	add(1, 100, 1)
	add(2, 100, 1) // too many for the frame of the first
	add(3, 2, maxFrameBytes/3)
	add(4, 2, maxFrameBytes/3) // too large for the frame of the second
	var got []map[uint32]int
	for frame := uint64(1); l.hasUnsent(); frame++ {
		runs := make(map[uint32]int)
		for _, p := range l.write(frame, now) {
			runs[p.GetRun()]++
		}
		got = append(got, runs)
	}
	if diff := cmp.Diff([]map[uint32]int{{1: 100}, {2: 100, 3: 2}, {4: 2}}, got); diff != "" {
		t.Errorf("runs in frames (-want +got):\n%s", diff)
	}
}

func TestPublishesOfOneGroupThatFollowEachOtherAreARun(t *testing.T) {
	rig, answers := newRig(t, Options{LastMoment: soon}), newAnswers(t)
	conn := rig.service.next(t)
	rig.Publish(answers.of("/a", "/a", "/b", "/c", "/c")...)
	var runs []uint32
	publishes := conn.frame().GetPublishes()
	for _, p := range publishes {
		runs = append(runs, p.GetRun())
	}
	if diff := cmp.Diff([]uint32{1, 1, 0, 2, 2}, runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	conn.answer(accepted, publishes...)
}

func TestAfterARefusalNothingOfItsRunIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		rig.Publish(answers.of("/a", "/a", "/a", "/b")...)
		first := conn.frame().GetPublishes()
		conn.answer(accepted, first[0])
		answers.want(1, Accepted)
		conn.answer(relayv1.Outcome_OUTCOME_BUSY, first[1])
		answers.want(2, Busy)
		conn.end <- status.Error(codes.Unavailable, "killed") // the result of 3 is lost
		answers.want(3, Unknown)
		conn = rig.service.next(t)
		again := conn.frame().GetPublishes()
		wantNumbers(t, again, []uint32{4})
		conn.answer(accepted, again...)
		answers.want(4, Accepted)
	})
}

func TestABroadcastThatIsLostKeepsItsRunBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, answers := newRig(t, Options{}), newAnswers(t)
		conn := rig.service.next(t)
		batch := answers.of("/a", "/a", "/a")
		batch[1].Kind = stream.Text
		rig.Publish(batch...)
		conn.frame()
		conn.end <- status.Error(codes.Unavailable, "killed")
		answers.want(2, Unknown)
		answers.want(3, Unknown)
		conn = rig.service.next(t)
		again := conn.frame().GetPublishes()
		wantNumbers(t, again, []uint32{1})
		conn.answer(accepted, again...)
		answers.want(1, Accepted)
	})
}

func TestSiftKeepsBackWhatFollowsARefusalInItsGroup(t *testing.T) {
	refusals := map[int]Outcome{1: Denied, 2: Busy, 6: Invalid, 8: Unchecked}
	groups := []group.Name{"/a", "/a", "/a", "/a", "/b", "/b", "/b", "/b", "/c", "/c"}
	results := newAnswers(t)
	asked := 0
	admitted, refused := Sift(results.of(groups...), func(i int) Result {
		asked++
		return Result{Outcome: refusals[i]}
	})
	var passed []uint32
	for _, p := range admitted {
		passed = append(passed, p.Number)
	}
	if diff := cmp.Diff([]uint32{1, 5, 6, 8}, passed); diff != "" {
		t.Errorf("admitted (-want +got):\n%s", diff)
	}
	if asked != 8 {
		t.Errorf("asked about %d, want 8: those that are kept back need no question", asked)
	}
	refused.End()
	for _, want := range []struct {
		number  uint32
		outcome Outcome
	}{{2, Denied}, {3, Busy}, {4, Unavailable}, {7, Invalid}, {9, Unchecked}, {10, Unavailable}} {
		results.want(want.number, want.outcome)
	}
}

func TestARunIsBoundInItemsAndBytes(t *testing.T) {
	of := func(g group.Name, n, bytes int) (batch []*Publication) {
		for range n {
			batch = append(batch, &Publication{Group: g, Payload: make([]byte, bytes)})
		}
		return batch
	}
	for _, tt := range []struct {
		batch []*Publication
		want  int
	}{
		{nil, 0},
		{of("/a", 1, 10), 1},
		{of("/a", 1000, 1), maxFrameItems},
		{of("/a", 4, maxFrameBytes/3), 2},
		{of("/a", 2, 2*maxFrameBytes), 1},
		{append(of("/a", 3, 1), of("/b", 3, 1)...), 3},
	} {
		if got := RunLength(tt.batch); got != tt.want {
			t.Errorf("%d publications: a run of %d, want %d", len(tt.batch), got, tt.want)
		}
	}
}
