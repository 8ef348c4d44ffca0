package redisstore

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestWhatOthersDoToAListChangesTheVersion(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "b", "c", "d")
			var copies historytest.Copies
			queries := historytest.Queries("b")
			copies.Check(t, s, g, queries, true, "four messages")
			key, ctx := string(g), t.Context()
			for _, outsider := range []struct {
				what string
				does func() error
			}{
				{"LPUSH", func() error { return s.conn.Client().LPush(ctx, key, "pushed").Err() }},
				{"LPUSH and RPOP, the length stays", func() error {
					return errors.Join(s.conn.Client().LPush(ctx, key, "pushed too").Err(), s.conn.Client().RPop(ctx, key).Err())
				}},
				{"LSET of the newest", func() error { return s.conn.Client().LSet(ctx, key, 0, "overwritten").Err() }},
				{"LTRIM", func() error { return s.conn.Client().LTrim(ctx, key, 0, 2).Err() }},
				{"RPUSH", func() error { return s.conn.Client().RPush(ctx, key, "at the end").Err() }},
				{"DEL", func() error { return s.conn.Client().Del(ctx, key).Err() }},
				{"LPUSH again", func() error { return s.conn.Client().LPush(ctx, key, "begins").Err() }},
			} {
				if err := outsider.does(); err != nil {
					t.Fatalf("%s: %v", outsider.what, err)
				}
				copies.Check(t, s, g, byPosition(queries), true, outsider.what)
			}
		})
	}
}

// byPosition leaves out the pages around a message: an index does not follow what
// others do to a list.
func byPosition(all []history.Query) (some []history.Query) {
	for _, q := range all {
		if q.Before == "" && q.After == "" {
			some = append(some, q)
		}
	}
	return some
}

func TestAnExpiredListChangesTheVersion(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "b")
			var copies historytest.Copies
			queries := byPosition(historytest.Queries())
			copies.Check(t, s, g, queries, true, "two messages")
			// What SetTTL does in the end, without waiting for it.
			if err := s.conn.Client().Del(t.Context(), string(g)).Err(); err != nil {
				t.Fatal(err)
			}
			copies.Check(t, s, g, queries, true, "expired, the counters live on")
			must(t, s, g, "c")
			copies.Check(t, s, g, queries, true, "a message after that")
			k := layout.KeysOf(g)
			for _, key := range k.All() {
				if err := s.conn.Client().Del(t.Context(), key).Err(); err != nil {
					t.Fatal(err)
				}
			}
			copies.Check(t, s, g, queries, true, "all is gone")
			must(t, s, g, "a", "b")
			copies.Check(t, s, g, queries, true, "the same messages in a new life")
		})
	}
}

func TestTheVersionOfAnOldListIsThatAfterItsAdoption(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			var copies historytest.Copies
			queries := historytest.Queries("u2")
			copies.Check(t, s, g, queries, false, "nothing yet")
			push(t, s, g, dataPacket("u1"), dataPacket("u2"), dataPacket("hidden"), "not JSON")
			blacken(t, s, g, dataPacket("hidden"))
			got, unmodified := copies.Read(t, s, g, history.Query{Size: 100})
			want := []string{"not JSON", dataPacket("u2"), dataPacket("u1")}
			if diff := cmp.Diff(want, got.Texts); diff != "" || unmodified || got.Version == "" {
				t.Errorf("first page: unmodified %v, version %q, texts (-want +got):\n%s", unmodified, got.Version, diff)
			}
			copies.Check(t, s, g, queries, false, "adopted")
			if err := s.Recall(t.Context(), g, "u2", history.Limit{}, stream.Author{}); err != nil {
				t.Fatal(err)
			}
			copies.Check(t, s, g, queries, true, "recall of an old message")
		})
	}
}

// TestAFutureThatAFailoverCutOffIsNotShownAgain puts a group back to where it was,
// as a failover to a replica that is behind does.
func TestAFutureThatAFailoverCutOffIsNotShownAgain(t *testing.T) {
	for _, b := range []redistest.Backend{single, clustered} {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			must(t, s, g, "a", "b")
			var copies historytest.Copies
			queries := historytest.Queries("a")
			copies.Check(t, s, g, queries, true, "before")
			kept := dump(t, s, g)
			must(t, s, g, "lost")
			copies.Check(t, s, g, queries, true, "the future")
			restore(t, s, kept)
			copies.Check(t, s, g, queries, true, "after the failover")
			must(t, s, g, "another")
			copies.Check(t, s, g, queries, true, "another future")
		})
	}
}

func dump(t *testing.T, s *Store, g group.Name) map[string]string {
	t.Helper()
	k, all := layout.KeysOf(g), make(map[string]string)
	for _, key := range k.All() {
		v, err := s.conn.Client().Dump(t.Context(), key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		all[key] = v
	}
	return all
}

func restore(t *testing.T, s *Store, all map[string]string) {
	t.Helper()
	for key, v := range all {
		if err := s.conn.Client().Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
		if v == "" {
			continue
		}
		if err := s.conn.Client().Restore(t.Context(), key, 0, v).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAVersionIsCheckedWithoutReadingTheList(t *testing.T) {
	s, g := on(t, single, Options{}, nil), room(t)
	must(t, s, g, "a", "b")
	var asked [][]string
	first, err := s.Page(t.Context(), g, history.Query{Size: 10, Versioned: true})
	if err != nil {
		t.Fatal(err)
	}
	s.conn.Client().AddHook(&listener{&asked})
	if p, err := s.Page(t.Context(), g, history.Query{Size: 10, Versioned: true, Known: first.Version}); err != nil || !p.Unmodified {
		t.Fatalf("%+v, %v", p, err)
	}
	want := [][]string{{"hmget", "llen", "lindex"}}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("pipelines (-want +got):\n%s", diff)
	}
}

// listener notes the commands of pipelines.
type listener struct{ heard *[][]string }

func (*listener) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (*listener) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (l *listener) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		var names []string
		for _, c := range cmds {
			if n := c.Name(); n != "multi" && n != "exec" {
				names = append(names, n)
			}
		}
		*l.heard = append(*l.heard, names)
		return next(ctx, cmds)
	}
}
