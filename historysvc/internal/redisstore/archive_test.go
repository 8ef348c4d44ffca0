package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/redistest"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// archived describes the entries of groups in the archive, oldest first.
func archived(t *testing.T, s *Store, groups ...group.Name) map[group.Name][]string {
	t.Helper()
	all := make(map[group.Name][]string)
	for _, g := range groups {
		entries, err := s.conn.Client().XRange(t.Context(), layout.ArchiveKey(g, s.conn.Cluster()), "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Values["group"] != string(g) {
				continue // of another group in this slot, or of another test
			}
			epoch, _ := e.Values["epoch"].(string)
			if _, err := layout.ParseEpoch(epoch); err != nil {
				t.Errorf("entry %v: %v", e.Values, err)
			}
			at, _ := e.Values["at"].(string)
			if n, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.UnixMilli(n)).Abs() > time.Hour {
				t.Errorf("entry %v: time %q, %v", e.Values, at, err)
			}
			by := ""
			for _, field := range []string{"by", "key"} {
				if name, ok := e.Values[field]; ok {
					by += fmt.Sprint(" ", field, " ", name)
				}
			}
			all[g] = append(all[g], fmt.Sprint(e.Values["kind"], " ", e.Values["seq"], " ", e.Values["uuid"], e.Values["text"], by))
		}
	}
	return all
}

func TestArchiveHasAllThatIsStoredAndRecalled(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s := on(t, b, Options{History: History{Archive: 1000}}, nil)
			one, two := room(t)+"/one", room(t)+"/two"
			must(t, s, one, "u1", "u2")
			must(t, s, two, "u1")
			if r := submit(t, s, one, "u2", dataPacket("again")); !r.Duplicate {
				t.Errorf("duplicate: %+v", r)
			}
			if err := s.Recall(t.Context(), one, "u1", history.Limit{}, stream.Author{}); err != nil {
				t.Fatal(err)
			}
			must(t, s, one, "u3")
			user, key := stream.Author{Name: "al ice"}, stream.Author{Name: "backend", Key: true}
			var answers []<-chan history.Receipt
			for i, by := range []stream.Author{key, {}, user} {
				uuid, done := fmt.Sprint("n", i), make(chan history.Receipt, 1)
				answers = append(answers, done)
				s.Submit(&history.Publication{
					Group: two, Kind: stream.Message, UUID: uuid, Payload: []byte(dataPacket(uuid)), By: by, From: historytest.Receipts(done),
				})
			}
			for _, a := range answers {
				if r := <-a; r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			for i, by := range []stream.Author{user, key} {
				if err := s.Recall(t.Context(), two, fmt.Sprint("n", i), history.Limit{}, by); err != nil {
					t.Fatal(err)
				}
			}
			want := map[group.Name][]string{
				one: {
					"message 1 <nil>" + dataPacket("u1"), "message 2 <nil>" + dataPacket("u2"),
					"recall 1 u1<nil>", "message 3 <nil>" + dataPacket("u3"),
				},
				two: {
					"message 1 <nil>" + dataPacket("u1"),
					"message 2 <nil>" + dataPacket("n0") + " key backend",
					"message 3 <nil>" + dataPacket("n1"),
					"message 4 <nil>" + dataPacket("n2") + " by al ice",
					"recall 2 n0<nil> by al ice", "recall 3 n1<nil> key backend",
				},
			}
			if diff := cmp.Diff(want, archived(t, s, one, two)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeArchivedIsNotDone(t *testing.T) {
	// Not on the shared server, whose one archive others use.
	for _, b := range []redistest.Backend{imitation, clustered} {
		t.Run(b.Name, func(t *testing.T) {
			s := on(t, b, Options{History: History{Archive: 1000}}, nil)
			g := room(t)
			must(t, s, g, "u1")
			key := layout.ArchiveKey(g, s.conn.Cluster())
			if err := s.conn.Client().Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.conn.Client().Set(t.Context(), key, "a string", 0).Err(); err != nil {
				t.Fatal(err)
			}
			defer s.conn.Client().Del(t.Context(), key)
			if r := submit(t, s, g, "u2", dataPacket("u2")); !errors.Is(r.Err, history.ErrUnavailable) {
				t.Errorf("a message: %+v, want %v", r, history.ErrUnavailable)
			}
			if err := s.Recall(t.Context(), g, "u1", history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrUnavailable) {
				t.Errorf("a recall: %v, want %v", err, history.ErrUnavailable)
			}
			if err := s.conn.Client().Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
			must(t, s, g, "u3")
			page, err := s.Page(t.Context(), g, history.Query{Size: 10})
			if diff := cmp.Diff([]string{dataPacket("u3"), dataPacket("u1")}, page.Texts); err != nil || diff != "" {
				t.Errorf("history: %v, want (-), got (+):\n%s", err, diff)
			}
			if diff := cmp.Diff([]string{"message 2 <nil>" + dataPacket("u3")}, archived(t, s, g)[g]); diff != "" {
				t.Errorf("archive: want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestArchiveIsBounded(t *testing.T) {
	s := on(t, single, Options{History: History{Archive: 100}}, nil)
	g := room(t)
	for i := range 1000 {
		must(t, s, g, fmt.Sprint("u", i))
	}
	// Redis trims whole nodes of the stream, of 100 entries by default.
	if n := s.conn.Client().XLen(t.Context(), layout.ArchiveKey(g, s.conn.Cluster())).Val(); n < 100 || n > 300 {
		t.Errorf("%d entries are kept, want about 100", n)
	}
}

func TestWithoutAnArchiveThereIsNone(t *testing.T) {
	s := on(t, imitation, Options{}, nil)
	must(t, s, room(t), "u1")
	if n, err := s.conn.Client().Exists(t.Context(), layout.ArchivePrefix).Result(); err != nil || n != 0 {
		t.Errorf("archives: %d, %v, want none", n, err)
	}
}
