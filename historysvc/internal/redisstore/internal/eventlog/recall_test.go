package eventlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestARecallOfWhatHasChangedDoesNothing(t *testing.T) {
	for _, b := range redistest.Backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := open(t, b, 1000), historytest.Room(t)
			store(t, s, g, "a", "b")
			l, err := s.lookUp(t.Context(), g, "a")
			if err != nil || len(l.occurrences) != 1 {
				t.Fatalf("%+v, %v", l, err)
			}
			c := recall{group: g, uuid: "a", epoch: l.epoch, target: 1}
			right := l.occurrences[0]
			for name, p := range map[string]occurrence{
				"another text":      {seq: right.seq, text: historytest.Text("x")},
				"another place":     {seq: right.seq + 1, text: right.text},
				"not there yet":     {seq: 3, text: right.text},
				"not there anymore": {seq: 0, text: right.text},
			} {
				if ok, err := s.overwrite(t.Context(), &c, []occurrence{p}, true); ok || err != nil {
					t.Errorf("%s: %v, %v", name, ok, err)
				}
			}
			c.epoch = layout.NewEpoch()
			if ok, err := s.overwrite(t.Context(), &c, l.occurrences, true); ok || err != nil {
				t.Errorf("another epoch: %v, %v", ok, err)
			}
			if got := listOf(t, s, g); !slices.Equal(got, []string{historytest.Text("b"), historytest.Text("a")}) {
				t.Errorf("history: %q", got)
			}
			if b, err := s.Read(t.Context(), g, history.Start{}); err != nil || b.Position.Changes != 0 {
				t.Errorf("counted: %+v, %v", b.Position, err)
			}
		})
	}
}

// TestARecallHalfDoneChangesTheVersion: texts are overwritten before the recall
// is counted where a uuid has more places than one script overwrites.
func TestARecallHalfDoneChangesTheVersion(t *testing.T) {
	for _, b := range redistest.Backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := open(t, b, 1000), historytest.Room(t)
			push(t, s, g, slices.Repeat([]string{historytest.Text("often")}, recallChunk+1)...)
			var copies historytest.Copies
			copies.Check(t, s, g, historytest.Queries(), false, "old list")
			l, err := s.lookUp(t.Context(), g, "often")
			if err != nil || len(l.occurrences) != recallChunk+1 {
				t.Fatalf("%d places, %v", len(l.occurrences), err)
			}
			c := recall{group: g, uuid: "often", epoch: l.epoch, target: l.occurrences[0].seq}
			if ok, err := s.overwrite(t.Context(), &c, l.occurrences[:recallChunk], false); !ok || err != nil {
				t.Fatal(ok, err)
			}
			copies.Check(t, s, g, historytest.Queries(), true, "half of it")
			if err := s.Recall(t.Context(), g, "often", history.Limit{}, stream.Author{}); err != nil {
				t.Fatal(err)
			}
			copies.Check(t, s, g, historytest.Queries(), true, "all of it")
		})
	}
}

// TestARecallInOneCallDoesWhatACloserLookWouldHaveDone changes lists at random, as
// this service does and as only strangers can. Wherever the one call recalls
// something, the look-up must have found that one live place and no other; where it
// does not, nothing may have changed.
func TestARecallInOneCallDoesWhatACloserLookWouldHaveDone(t *testing.T) {
	for _, b := range redistest.Backends {
		t.Run(b.Name, func(t *testing.T) {
			s := open(t, b, 8)
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			done, refused := 0, 0
			for range 60 {
				ok, no := recallAtRandom(t, s, r)
				done, refused = done+ok, refused+no
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			if done < 20 || refused < 20 {
				t.Errorf("%d were recalled in one call, %d were not: one of the two was hardly tried", done, refused)
			}
		})
	}
}

// recallAtRandom builds one group and tries to recall everything that may be there. It
// says how many were recalled in one call, and how many were not.
func recallAtRandom(t *testing.T, s *Log, r *rand.Rand) (done, refused int) {
	t.Helper()
	g := historytest.Room(t)
	uuid := func() string { return fmt.Sprint("u", r.IntN(12)) }
	if r.IntN(3) == 0 {
		for range r.IntN(6) {
			push(t, s, g, historytest.Text(uuid()))
		}
	}
	for range r.IntN(25) {
		var err error
		switch r.IntN(30) {
		case 0:
			err = s.conn.Client().LPush(t.Context(), string(g), historytest.Text(uuid())).Err()
		case 1:
			err = s.conn.Client().RPop(t.Context(), string(g)).Err()
		case 2:
			err = s.conn.Client().LPop(t.Context(), string(g)).Err()
		case 3:
			_ = s.conn.Client().LSet(t.Context(), string(g), int64(r.IntN(4)), historytest.Text(uuid())).Err() // there may be none
		default:
			store(t, s, g, uuid())
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	for range 12 {
		u := uuid()
		before := listOf(t, s, g)
		l, err := s.lookUp(t.Context(), g, u)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := s.overwrite(t.Context(), &recall{group: g, uuid: u}, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		after := listOf(t, s, g)
		if !ok {
			refused++
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s: nothing was recalled, but (-before +after):\n%s", u, diff)
			}
			continue
		}
		done++
		if len(l.occurrences) != 1 || l.occurrences[0].recalled {
			t.Errorf("%s was recalled, but a closer look finds %+v in %q", u, l.occurrences, before)
			continue
		}
		want := slices.Clone(before)
		want[l.head-l.occurrences[0].seq] = string(packet.Tombstone(u))
		if diff := cmp.Diff(want, after); diff != "" {
			t.Errorf("%s (-want +got):\n%s", u, diff)
		}
	}
	return done, refused
}
