package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/packet"
)

// callCounter counts the commands that are not in pipelines.
type callCounter struct{ n atomic.Int64 }

func (c *callCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *callCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *callCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAMessageThatTheIndexKnowsIsRecalledInOneCall(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "first", `q"uo\te`, "ünï", "z")
			if err := s.Recall(t.Context(), g, "first", history.Limit{}); err != nil { // the server has the script now
				t.Fatal(err)
			}
			var calls callCounter
			s.client.AddHook(&calls)
			for _, uuid := range []string{"a", `q"uo\te`, "ünï", "z"} {
				calls.n.Store(0)
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}); err != nil {
					t.Errorf("%s: %v", uuid, err)
				}
				if n := calls.n.Load(); n != 1 {
					t.Errorf("%s took %d calls, want 1", uuid, n)
				}
			}
			want := []string{"z", "ünï", `q"uo\te`, "first", "a"}
			for i, text := range list(t, s, g) {
				if text != string(packet.Tombstone(want[i])) {
					t.Errorf("at %d: %s", i, text)
				}
			}
		})
	}
}

func TestAMessageThatIsWrittenInAnotherWayIsRecalled(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			texts := map[string]string{
				"spaced":  ` {"type": 2, "uuid": "spaced"}`,
				"order":   `{"uuid":"order","type":2,"body":{"uuid":"nested"}}`,
				"escaped": `{"type":2,"uuid":"\u0065scaped"}`,
				"body":    `{"type":2,"body":{"type":2,"uuid":"nested"},"uuid":"body"}`,
			}
			for uuid, text := range texts {
				if r := submit(t, s, g, uuid, text); r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			for uuid := range texts {
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}); err != nil {
					t.Errorf("%s: %v", uuid, err)
				}
				if l, err := s.locate(t.Context(), g, uuid, nil); err != nil || len(l.places) != 1 || !l.places[0].recalled {
					t.Errorf("%s: %+v, %v", uuid, l, err)
				}
			}
		})
	}
}

// TestARecallInOneCallDoesWhatACloserLookWouldHaveDone changes lists at random, as
// this service does and as only strangers can. Wherever the one call recalls
// something, the look-up must have found that one live place and no other; where it
// does not, nothing may have changed.
func TestARecallInOneCallDoesWhatACloserLookWouldHaveDone(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s := on(t, b, Options{Cap: 8, DedupeLimit: 8}, nil)
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

// recallAtRandom builds one group and tries to recall all that may be there. It
// says how many were recalled in one call, and how many were not.
func recallAtRandom(t *testing.T, s *Store, r *rand.Rand) (done, refused int) {
	t.Helper()
	g := room(t)
	uuid := func() string { return fmt.Sprint("u", r.IntN(12)) }
	if r.IntN(3) == 0 {
		for range r.IntN(6) {
			push(t, s, g, dataPacket(uuid()))
		}
	}
	for range r.IntN(25) {
		var err error
		switch r.IntN(30) {
		case 0:
			err = s.client.LPush(t.Context(), string(g), dataPacket(uuid())).Err()
		case 1:
			err = s.client.RPop(t.Context(), string(g)).Err()
		case 2:
			err = s.client.LPop(t.Context(), string(g)).Err()
		case 3:
			_ = s.client.LSet(t.Context(), string(g), int64(r.IntN(4)), dataPacket(uuid())).Err() // there may be none
		default:
			u := uuid()
			err = submit(t, s, g, u, dataPacket(u)).Err
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
	}
	for range 12 {
		u := uuid()
		before := list(t, s, g)
		l, err := s.locate(t.Context(), g, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := s.recallIndexed(t.Context(), g, u, history.Limit{})
		if err != nil {
			t.Fatal(err)
		}
		after := list(t, s, g)
		if !ok {
			refused++
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s: nothing was recalled, but (-before +after):\n%s", u, diff)
			}
			continue
		}
		done++
		if len(l.places) != 1 || l.places[0].recalled {
			t.Errorf("%s was recalled, but a closer look finds %+v in %q", u, l.places, before)
			continue
		}
		want := slices.Clone(before)
		want[l.head-l.places[0].seq] = string(packet.Tombstone(u))
		if diff := cmp.Diff(want, after); diff != "" {
			t.Errorf("%s (-want +got):\n%s", u, diff)
		}
	}
	return done, refused
}
