package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// end is where a reader that has read everything stands.
func end(t *testing.T, s *Store, g group.Name) stream.Position {
	t.Helper()
	b, err := s.Read(t.Context(), g, history.Start{})
	if err != nil {
		t.Fatal(err)
	}
	return b.Position
}

func isGap(t *testing.T, s *Store, g group.Name, at stream.Position) bool {
	t.Helper()
	b, err := s.Read(t.Context(), g, history.Start{After: at})
	if err != nil {
		t.Fatal(err)
	}
	return b.Gap
}

// TestAMessageCostsRedisAtMost250Bytes stores messages of 128 bytes, as docs/performance.md
// measures them. A name costs its length and 8 bytes.
func TestAMessageCostsRedisAtMost250Bytes(t *testing.T) {
	s := on(t, single, Options{}, nil)
	const messages = 10_000
	cost := func(author *history.Author, by stream.Author) float64 {
		g := room(t)
		receipts := make(chan history.Receipt, messages)
		for i := range messages {
			uuid := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
			text := fmt.Sprintf(`{"type":2,"uuid":%q,"body":{"data":"`, uuid)
			text += strings.Repeat("x", 128-len(text)-len(`"}}`)) + `"}}`
			s.Submit(&history.Publication{
				Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(text), Author: author, By: by,
				Origin: stream.Origin{Edge: 1 << 60, ID: uint64(i)}, From: historytest.Receipts(receipts),
			})
			if i%1000 == 999 {
				for range 1000 {
					if r := <-receipts; r.Err != nil {
						t.Fatal(r.Err)
					}
				}
			}
		}
		k := layout.KeysOf(g)
		sum := int64(0)
		for _, key := range []string{k.List, k.Meta, k.Links, k.Index0} {
			size, err := s.conn.Client().MemoryUsage(t.Context(), key, 0).Result()
			if err != nil {
				t.Fatal(err)
			}
			sum += size
		}
		return float64(sum) / messages
	}
	plain, authored := cost(nil, stream.Author{}), cost(&history.Author{1}, stream.Author{})
	t.Logf("%.1f bytes, with an author %.1f", plain, authored)
	if plain > 250 || authored > 250 {
		t.Errorf("a message costs %.1f bytes, one with an author %.1f, want 250 at most", plain, authored)
	}
	for _, n := range []int{1, 8, stream.MaxAuthorName} {
		named := cost(&history.Author{1}, stream.Author{Name: strings.Repeat("n", n)})
		t.Logf("a name of %d bytes: %.1f", n, named-authored)
		if named-authored > float64(n+8) {
			t.Errorf("a name of %d bytes costs %.1f, want 8 more at most", n, named-authored)
		}
	}
}

func TestAForkAfterALostWriteIsSeenThoughTheNumbersCatchUp(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			k := layout.KeysOf(g)
			must(t, s, g, "a", "b")
			common := end(t, s, g)
			must(t, s, g, "c")
			inner := end(t, s, g)
			must(t, s, g, "d")
			lost := end(t, s, g)

			// A replica that had not got c and d takes over.
			link, err := s.conn.Client().LIndex(t.Context(), k.Links, 2).Result()
			if err != nil {
				t.Fatal(err)
			}
			pipe := s.conn.Client().Pipeline()
			pipe.LTrim(t.Context(), k.List, 2, -1)
			pipe.LTrim(t.Context(), k.Links, 2, -1)
			pipe.HSet(t.Context(), k.Meta, "seq", 2, "link", link[:4])
			c, d := layout.UUIDDigest("c"), layout.UUIDDigest("d")
			pipe.HDel(t.Context(), k.Index0, string(c[:]), string(d[:]))
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			if isGap(t, s, g, common) || !isGap(t, s, g, inner) || !isGap(t, s, g, lost) {
				t.Error("the roll-back is not seen")
			}
			must(t, s, g, "x", "y", "z")
			if isGap(t, s, g, common) {
				t.Error("the common part is a gap")
			}
			if !isGap(t, s, g, inner) || !isGap(t, s, g, lost) {
				t.Error("the fork is not seen")
			}
			if r := submit(t, s, g, "d", dataPacket("d")); r.Err != nil || r.Duplicate {
				t.Errorf("a resend of what was lost: %+v", r)
			}
		})
	}
}

func TestLostCountersAreANewEpoch(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "b")
			at := end(t, s, g)
			if err := s.conn.Client().Del(t.Context(), layout.KeysOf(g).Meta).Err(); err != nil {
				t.Fatal(err)
			}
			if !isGap(t, s, g, at) {
				t.Error("not seen by a read")
			}
			must(t, s, g, "c")
			now := end(t, s, g)
			if now.Epoch == at.Epoch || now.Seq != 3 {
				t.Errorf("was at %+v, is at %+v", at, now)
			}
			if got := texts(t, s, g, history.Query{Size: 10}); len(got) != 3 {
				t.Errorf("history: %q", got)
			}
		})
	}
}

func TestAnExpiredListIsNoLossOfOrder(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{History: History{Retention: time.Hour}}, nil), room(t)
			must(t, s, g, "a", "b")
			early := end(t, s, g)
			must(t, s, g, "c")
			at := end(t, s, g)
			ttl, err := s.conn.Client().PTTL(t.Context(), string(g)).Result()
			if err != nil || ttl <= 59*time.Minute || ttl > time.Hour {
				t.Errorf("the list lives for %v, %v", ttl, err)
			}
			for _, key := range keysOf2(g) {
				if own, err := s.conn.Client().PTTL(t.Context(), key).Result(); err != nil || own < ttl+10*time.Minute || own > ttl+21*time.Minute {
					t.Errorf("%s lives for %v, the list for %v, %v", key, own, ttl, err)
				}
			}
			if err := s.conn.Client().Del(t.Context(), string(g)).Err(); err != nil {
				t.Fatal(err)
			}
			if isGap(t, s, g, at) || !isGap(t, s, g, early) {
				t.Error("a gap where there is none, or none where there is one")
			}
			must(t, s, g, "d")
			if got, err := s.Read(t.Context(), g, history.Start{After: at}); err != nil || got.Gap || len(got.Events) != 1 || got.Events[0].Seq != 4 {
				t.Errorf("%+v, %v", got, err)
			}
			if r := submit(t, s, g, "a", dataPacket("a")); !r.Duplicate {
				t.Errorf("an expired message comes back: %+v", r)
			}
		})
	}
}

func TestTheCountersOfAFollowedGroupDoNotExpire(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			began := time.Now()
			now := began
			s, g := on(t, b, Options{History: History{Retention: time.Hour, Now: func() time.Time { return now }}}, nil), room(t)
			must(t, s, g, "a")
			for _, key := range keysOf2(g) {
				if err := s.conn.Client().PExpire(t.Context(), key, time.Minute).Err(); err != nil {
					t.Fatal(err)
				}
			}
			// A follower asks once a second; in which second it matters is the group's own.
			for asked := range 256 {
				now = began.Add(time.Duration(asked) * time.Second)
				if h := s.Heads(t.Context(), []group.Name{g})[0]; h.Err != nil || h.Position.Seq != 1 {
					t.Fatalf("head: %+v", h)
				}
			}
			for _, key := range keysOf2(g) {
				if left, err := s.conn.Client().PTTL(t.Context(), key).Result(); err != nil || left < 70*time.Minute {
					t.Errorf("%s lives for %v more, %v", key, left, err)
				}
			}
			if left, err := s.conn.Client().PTTL(t.Context(), string(g)).Result(); err != nil || left > time.Hour {
				t.Errorf("the history lives for %v more, %v: only messages renew it", left, err)
			}
		})
	}
}

// keysOf2 are the keys beside the list that a group has which never had a
// recall or a second generation of its index.
func keysOf2(g group.Name) []string {
	k := layout.KeysOf(g)
	return []string{k.Meta, k.Links, k.Index0}
}

func TestTheTTLOfAGroupGoesBeforeTheDefault(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			url, g := b.URL(t), room(t)
			s := open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}, History: History{Retention: time.Hour}}, nil)
			must(t, s, g, "a")
			if err := s.SetTTL(t.Context(), g, time.Minute); err != nil {
				t.Fatal(err)
			}
			expect := func(s *Store, low, high time.Duration) {
				t.Helper()
				for i, key := range append(keysOf2(g), string(g)) {
					extra := 10 * time.Minute
					if i == 3 {
						extra = 0
					}
					if ttl, err := s.conn.Client().PTTL(t.Context(), key).Result(); err != nil || ttl < low+extra || ttl > high+2*extra {
						t.Errorf("%s lives for %v, %v", key, ttl, err)
					}
				}
			}
			expect(s, 50*time.Second, time.Minute)
			must(t, s, g, "b")
			expect(s, 50*time.Second, time.Minute)
			if err := s.SetTTL(t.Context(), g, 10*time.Hour); err != nil {
				t.Fatal(err)
			}
			expect(s, 9*time.Hour, 10*time.Hour)

			// Without ttl and retention nothing expires, also what would have.
			other := room(t)
			must(t, s, other, "a")
			forever := open(t, Options{Connection: Connection{URL: url, Embedded: b.Embedded}}, nil)
			must(t, forever, other, "b")
			for _, key := range append(keysOf2(other), string(other)) {
				if ttl, err := forever.conn.Client().PTTL(t.Context(), key).Result(); err != nil || ttl != -1 {
					t.Errorf("%s lives for %v, %v", key, ttl, err)
				}
			}
		})
	}
}

// What is made after the ttl was set expires as well: a key of each room that was
// ever opened would stay forever.
func TestNothingOfAGroupOutlivesATTLThatWasSetBeforeItsFirstMessage(t *testing.T) {
	for _, b := range backends {
		for name, begin := range map[string]func(t *testing.T, s *Store, g group.Name){
			"new": func(*testing.T, *Store, group.Name) {},
			"adopted": func(t *testing.T, s *Store, g group.Name) {
				if err := s.conn.Client().LPush(t.Context(), string(g), dataPacket("old")).Err(); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(b.Name+"/"+name, func(t *testing.T) {
				s, g := on(t, b, Options{}, nil), room(t)
				begin(t, s, g)
				if err := s.SetTTL(t.Context(), g, time.Minute); err != nil {
					t.Fatal(err)
				}
				must(t, s, g, "a")
				for _, key := range append(keysOf2(g), string(g)) {
					if ttl, err := s.conn.Client().PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 || ttl > 21*time.Minute {
						t.Errorf("%s lives for %v, %v", key, ttl, err)
					}
				}
			})
		}
	}
}

func TestTheIndexRemembersTheCapAndTenMinutesWithinItsLimit(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			now := time.Now()
			s, g := on(t, b, Options{History: History{Cap: 10, DedupeLimit: 25, Now: func() time.Time { return now }}}, nil), room(t)
			n := 0
			add := func(count int) {
				t.Helper()
				for range count {
					must(t, s, g, fmt.Sprint("u", n))
					n++
				}
			}
			known := func(i int) bool {
				t.Helper()
				r := submit(t, s, g, fmt.Sprint("u", i), dataPacket(fmt.Sprint("u", i)))
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				if !r.Duplicate {
					n++ // it is there now
				}
				return r.Duplicate
			}
			size := func() int64 {
				t.Helper()
				k := layout.KeysOf(g)
				a, err1 := s.conn.Client().HLen(t.Context(), k.Index0).Result()
				b, err2 := s.conn.Client().HLen(t.Context(), k.Index1).Result()
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				return a + b
			}
			add(24)
			if size() != 24 || !known(0) {
				t.Errorf("24 in the first 10 minutes: %d are remembered", size())
			}
			now = now.Add(11 * time.Minute)
			add(12) // a new generation begins
			if size() != 36 || !known(0) || !known(35) {
				t.Errorf("two generations: %d are remembered", size())
			}
			now = now.Add(11 * time.Minute)
			add(1) // and the oldest goes
			if size() != 13 || !known(24) || !known(36) {
				t.Errorf("after the first generation: %d are remembered", size())
			}
			if cut := metric(t, s, "gotapi_history_dedupe_cut_total"); cut != 0 {
				t.Errorf("cut short %v times", cut)
			}
			add(60) // a flood within 10 minutes
			if cut := metric(t, s, "gotapi_history_dedupe_cut_total"); cut == 0 || size() > 50 {
				t.Errorf("after a flood: cut short %v times, %d are remembered", cut, size())
			}
			if !known(n - 10) {
				t.Error("the last cap messages are not remembered")
			}
			if known(0) {
				t.Error("the first message is still remembered")
			}
		})
	}
}

func TestAListThatOthersChangedIsSearched(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "b", "c")
			push(t, s, g, dataPacket("foreign"))
			if err := s.Recall(t.Context(), g, "b", history.Limit{}, stream.Author{}); err != nil {
				t.Fatal(err)
			}
			want := []string{dataPacket("foreign"), dataPacket("c"), dataPacket("a")}
			if got := texts(t, s, g, history.Query{Size: 10}); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("history: %q", got)
			}
		})
	}
}
