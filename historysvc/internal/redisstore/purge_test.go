package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
)

// TestAPurgeRepairsDamagedKeys does all damages. Only a list that is none is left alone,
// and what the index holds is not looked at.
func TestAPurgeRepairsDamagedKeys(t *testing.T) {
	t.Parallel()
	s, g := open(t, Options{Connection: Connection{URL: redistest.Start(t).URL()}}, nil), room(t)
	client := s.conn.Client()
	k := layout.KeysOf(g)
	for _, damage := range damages(&k) {
		if err := client.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		must(t, s, g, "a", "b", "c", "d")
		if damage[0] == "set" || damage[0] == "sadd" { // else the type stays
			if err := client.Del(t.Context(), damage[1].(string)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		_ = client.Do(t.Context(), damage...).Err() // there may be a key of another type
		kind, err := client.Type(t.Context(), k.List).Result()
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Purge(t.Context(), g)
		if kind != "list" && kind != "none" {
			if !errors.Is(err, history.ErrWrongType) {
				t.Errorf("after %q: %v", damage, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("after %q: %v", damage, err)
			continue
		}
		if r := submit(t, s, g, "new", dataPacket("new")); r.Err != nil || r.Duplicate {
			t.Errorf("publish after %q and a purge: %+v", damage, r)
		}
		if got, err := s.Page(t.Context(), g, history.Query{Size: 10}); err != nil || len(got.Texts) != 1 {
			t.Errorf("page after %q and a purge: %q, %v", damage, got.Texts, err)
		}
		if _, err := s.Read(t.Context(), g, history.Start{AfterUUID: "new"}); err != nil {
			t.Errorf("read after %q and a purge: %v", damage, err)
		}
	}
}

// TestWhatAPurgeLeavesExpiresUnlessAMessageComes: purged groups cost nothing for long, and
// those that go on keep all their keys as long as their list.
func TestWhatAPurgeLeavesExpiresUnlessAMessageComes(t *testing.T) {
	t.Parallel()
	for name, retention := range map[string]time.Duration{"forever": 0, "for an hour": time.Hour} {
		s, g := open(t, Options{Connection: Connection{URL: redistest.Start(t).URL()}, History: History{Retention: retention}}, nil), room(t)
		client := s.conn.Client()
		k := layout.KeysOf(g)
		must(t, s, g, "a", "b")
		if _, err := s.Purge(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{k.Meta, k.Links, k.Index0} {
			left, err := client.PTTL(t.Context(), key).Result()
			if err != nil || left < 10*time.Minute || left > retention+20*time.Minute+time.Second {
				t.Errorf("%s: %q lives for %v, %v", name, key, left, err)
			}
		}
		must(t, s, g, "c")
		for _, key := range []string{k.List, k.Meta, k.Links, k.Index0} {
			left, err := client.PTTL(t.Context(), key).Result()
			if err != nil || (left < 0) != (retention == 0) || retention > 0 && left < retention-time.Minute {
				t.Errorf("%s: after the next message %q lives for %v, %v", name, key, left, err)
			}
		}
	}
}

// TestAnOldListIsPurged: lists of an older server need no adoption for that.
func TestAnOldListIsPurged(t *testing.T) {
	t.Parallel()
	s, g := open(t, Options{Connection: Connection{URL: redistest.Start(t).URL()}}, nil), room(t)
	push(t, s, g, dataPacket("old"), dataPacket("older"))
	if n, err := s.Purge(t.Context(), g); err != nil || n != 2 {
		t.Fatalf("purge: %d, %v", n, err)
	}
	must(t, s, g, "new")
	if got, err := s.Page(t.Context(), g, history.Query{Size: 10}); err != nil || len(got.Texts) != 1 {
		t.Errorf("page: %q, %v", got.Texts, err)
	}
}
