package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestTheTimeToRecallAMessageEnds(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			stored := time.Unix(1_800_000_000, 0)
			now := stored
			s, g := on(t, b, Options{History: History{Now: func() time.Time { return now }}}, nil), room(t)
			author := &history.Author{1}
			done := make(chan history.Receipt, 1)
			s.Submit(&history.Publication{
				Group: g, Kind: stream.Message, UUID: "a", Payload: []byte(dataPacket("a")), Author: author,
				From: historytest.Receipts(done),
			})
			if r := <-done; r.Err != nil {
				t.Fatal(r.Err)
			}
			limit := history.Limit{Author: author, Within: 2 * time.Minute}
			now = stored.Add(2*time.Minute + time.Millisecond)
			if err := s.Recall(t.Context(), g, "a", limit, stream.Author{}); !errors.Is(err, history.ErrTooLate) {
				t.Errorf("after the time: %v, want %v", err, history.ErrTooLate)
			}
			now = stored.Add(2 * time.Minute)
			if err := s.Recall(t.Context(), g, "a", limit, stream.Author{}); err != nil {
				t.Errorf("within the time: %v", err)
			}
		})
	}
}

// Entries of messages with authors and names are longer than others: what reads
// them must bear all in one list.
func TestAnEntryHasAuthorAndNameOnlyIfThereIsOne(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			for i, author := range []*history.Author{nil, {7}, {8}, {}} {
				done := make(chan history.Receipt, 1)
				uuid := string(rune('a' + i))
				s.Submit(&history.Publication{
					Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(dataPacket(uuid)), Author: author,
					Origin: stream.Origin{Edge: 1, ID: uint64(i)}, By: stream.Author{Name: map[int]string{2: "alice"}[i]},
					From: historytest.Receipts(done),
				})
				if r := <-done; r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			entries, err := s.conn.Client().LRange(t.Context(), layout.KeysOf(g).Links, 0, -1).Result()
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []int{26, 34 + 1 + len("alice"), 34, 26, 20} {
				if len(entries) != 5 || len(entries[i]) != want {
					t.Fatalf("entry %d of %d has another length than %d", i, len(entries), want)
				}
			}
			batch, err := s.Read(t.Context(), g, history.Start{})
			if err != nil || batch.Gap || len(batch.Events) != 4 {
				t.Fatalf("read: %+v, %v", batch, err)
			}
			for i, e := range batch.Events {
				if want := (stream.Origin{Edge: 1, ID: uint64(i)}); e.Origin != want {
					t.Errorf("origin of message %d: %+v, want %+v", i, e.Origin, want)
				}
			}
		})
	}
}

// Authors stand in a list of their own: what others do to the list of texts moves
// messages away from theirs.
func TestAMessageThatOthersHaveMovedIsNobodysOwn(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			alice, bob := &history.Author{1}, &history.Author{2}
			for i, author := range []*history.Author{alice, bob} {
				uuid := string(rune('a' + i))
				done := make(chan history.Receipt, 1)
				s.Submit(&history.Publication{
					Group: g, Kind: stream.Message, UUID: uuid, Payload: []byte(dataPacket(uuid)), Author: author,
					From: historytest.Receipts(done),
				})
				if r := <-done; r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			push(t, s, g, dataPacket("of the older server"))
			for _, uuid := range []string{"a", "b"} {
				for _, author := range []*history.Author{alice, bob} {
					if err := s.Recall(t.Context(), g, uuid, history.Limit{Author: author}, stream.Author{}); !errors.Is(err, history.ErrNotAuthor) {
						t.Errorf("recall of %s by author %d: %v, want %v", uuid, author[0], err, history.ErrNotAuthor)
					}
				}
				if err := s.Recall(t.Context(), g, uuid, history.Limit{Within: time.Hour}, stream.Author{}); !errors.Is(err, history.ErrTooLate) {
					t.Errorf("recall of %s within an hour: %v, want %v", uuid, err, history.ErrTooLate)
				}
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
					t.Errorf("recall of %s by who may recall all: %v", uuid, err)
				}
			}
		})
	}
}
