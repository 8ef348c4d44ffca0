package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// damages are what others may have done to the keys of a group, each one command.
func damages(k *layout.Keys) (all [][]any) {
	for _, field := range []string{
		"epoch", "seq", "link", "adopted", "changes", "index", "index_from", "index_time", "older_from", "ttl", "own_ttl", "pending", "overwrites",
	} {
		all = append(all, []any{"hdel", k.Meta, field})
		for _, value := range []string{"", "x", "-1", "1.5", "nan", "inf", "-inf", "1e300", "0x10", " 7", "99999999999999999999", "0123456789abcdefg"} {
			all = append(all, []any{"hset", k.Meta, field, value})
		}
	}
	for _, key := range append(k.All(), k.Pending, layout.OldRecallsKey(group.Name(k.List)), layout.ArchivePrefix) {
		all = append(all, []any{"set", key, "x"}, []any{"sadd", key, "x"}, []any{"rpush", key, "x"}, []any{"hset", key, "x", "x"}, []any{"del", key})
	}
	for _, key := range []string{k.Index0, k.Index1} {
		digest := layout.UUIDDigest("a")
		all = append(all, []any{"hset", key, digest[:], "x"}, []any{"hset", key, digest[:], "-3"}, []any{"hset", key, digest[:], "1e300"})
	}
	for _, key := range []string{k.Links, k.Changes} {
		all = append(all, []any{"lset", key, 0, "x"}, []any{"lset", key, 0, ""}, []any{"lset", key, -1, "x"})
	}
	return all
}

// TestDamagedKeysAreOneErrorAtOnceAndNothingIsHalfDone does all damages to groups of
// several kinds. Whatever fails leaves all keys as they are.
func TestDamagedKeysAreOneErrorAtOnceAndNothingIsHalfDone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	redistest.StartReplica(t, server)
	for name, kind := range map[string]struct {
		options Options
		adopted bool
	}{
		"plain":                       {Options{}, false},
		"with a ttl":                  {Options{History: History{Retention: time.Hour}}, false},
		"with an archive":             {Options{History: History{Archive: 100}}, false},
		"with acks of replicas":       {Options{Connection: Connection{Acks: Acks{Replicas: 1}}}, false},
		"with few in the index":       {Options{History: History{Cap: 2, DedupeLimit: 2}}, false},
		"adopted":                     {Options{}, true},
		"with messages to be adopted": {Options{}, true},
	} {
		kind.options.Connection.URL = server.URL()
		s, g := open(t, kind.options, nil), room(t)
		client := s.conn.Client()
		k := layout.KeysOf(g)
		for _, damage := range damages(&k) {
			if err := client.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if kind.adopted {
				push(t, s, g, dataPacket("old"), dataPacket("older"))
			}
			if name != "with messages to be adopted" {
				must(t, s, g, "a", "b", "c", "d")
				if err := s.Recall(t.Context(), g, "c", history.Limit{}, stream.Author{}); err != nil {
					t.Fatal(err)
				}
			}
			_ = client.Do(t.Context(), damage...).Err() // there may be a key of another type
			for what, call := range map[string]func() error{
				"append":    func() error { return submit(t, s, g, "new", dataPacket("new")).Err },
				"duplicate": func() error { return submit(t, s, g, "a", dataPacket("a")).Err },
				"recall":    func() error { return s.Recall(t.Context(), g, "d", history.Limit{}, stream.Author{}) },
				"head":      func() error { return s.Heads(t.Context(), []group.Name{g})[0].Err },
				"read": func() error {
					_, err := s.Read(t.Context(), g, history.Start{AfterUUID: "a"})
					return err
				},
				"page": func() error {
					_, err := s.Page(t.Context(), g, history.Query{Size: 5, Versioned: true})
					return err
				},
				"page before": func() error {
					_, err := s.Page(t.Context(), g, history.Query{Size: 5, Before: "d"})
					return err
				},
			} {
				checkCall(t, s, &k, fmt.Sprintf("%s: %s after %q", name, what, damage), call)
			}
		}
	}
}

// checkCall checks that a call ends soon, with an error that it may have, and if so,
// with nothing done.
func checkCall(t *testing.T, s *Store, k *layout.Keys, what string, call func() error) {
	t.Helper()
	before := keysHold(t, s, k)
	began := time.Now()
	err := call()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("%s: took %v", what, took)
	}
	if err == nil || errors.Is(err, history.ErrNotFound) { // which may have adopted the list
		return
	}
	archive := errors.Is(err, history.ErrUnavailable) && strings.Contains(what, layout.ArchivePrefix)
	if !errors.Is(err, history.ErrWrongType) && !archive {
		t.Errorf("%s: %v", what, err)
	}
	if diff := cmp.Diff(before, keysHold(t, s, k)); diff != "" {
		t.Errorf("%s: %v, but half done: %s", what, err, diff)
	}
}

// keysHold is everything that the keys of a group hold.
func keysHold(t *testing.T, s *Store, k *layout.Keys) map[string]any {
	t.Helper()
	all := make(map[string]any)
	client := s.conn.Client()
	for _, key := range append(k.All(), k.Pending, layout.ArchivePrefix) {
		var v any
		var err error
		switch kind, _ := client.Type(t.Context(), key).Result(); kind {
		case "list":
			v, err = client.LRange(t.Context(), key, 0, -1).Result()
		case "hash":
			v, err = client.HGetAll(t.Context(), key).Result()
		case "string":
			v, err = client.Get(t.Context(), key).Result()
		case "set":
			var members []string
			members, err = client.SMembers(t.Context(), key).Result()
			slices.Sort(members)
			v = members
		case "stream":
			v, err = client.XLen(t.Context(), key).Result()
		}
		if err != nil {
			t.Fatal(err)
		}
		all[key] = v
	}
	return all
}
