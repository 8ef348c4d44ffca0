package redisstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/historysvc/internal/history/historytest"
	"github.com/gotapi/gotapi-ws/historysvc/internal/redisstore/internal/layout"
	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// push appends to a list as the old server did.
func push(t *testing.T, s *Store, g group.Name, texts ...string) {
	t.Helper()
	for part := range slices.Chunk(texts, 1000) {
		args := make([]any, len(part))
		for i, text := range part {
			args[i] = text
		}
		if err := s.conn.Client().LPush(t.Context(), string(g), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// blacken recalls a text as the old server did.
func blacken(t *testing.T, s *Store, g group.Name, text string) {
	t.Helper()
	sum := md5.Sum([]byte(text))
	if err := s.conn.Client().SAdd(t.Context(), layout.OldRecallsKey(g), hex.EncodeToString(sum[:])).Err(); err != nil {
		t.Fatal(err)
	}
}

func texts(t *testing.T, s *Store, g group.Name, q history.Query) []string {
	t.Helper()
	p, err := s.Page(t.Context(), g, q)
	if err != nil {
		t.Fatalf("page %+v: %v", q, err)
	}
	return p.Texts
}

// list is what Redis itself holds.
func list(t *testing.T, s *Store, g group.Name) []string {
	t.Helper()
	l, err := s.conn.Client().LRange(t.Context(), string(g), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAnOldListIsServedAppendedToAndRecalledFrom(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			escaped := `{"type":2,"uuid":"\u0065scaped","body":{}}`
			twice := dataPacket("twice")
			push(t, s, g, "not JSON", "bad \xff UTF-8", twice, dataPacket("between"), escaped, `{"type":2,"uuid":"twice","body":{"data":"again"}}`, dataPacket("last"))
			want := []string{dataPacket("last"), `{"type":2,"uuid":"twice","body":{"data":"again"}}`, escaped, dataPacket("between"), twice, "bad \ufffd UTF-8", "not JSON"}
			if diff := cmp.Diff(want, texts(t, s, g, history.Query{Size: 10})); diff != "" {
				t.Fatalf("page (-want +got):\n%s", diff)
			}

			if r := submit(t, s, g, "new", dataPacket("new")); r.Err != nil || r.Seq != 8 {
				t.Fatalf("append: %+v", r)
			}
			// The older one is the place of a uuid that occurs twice.
			read, err := s.Read(t.Context(), g, history.Start{AfterUUID: "twice"})
			if err != nil || read.Gap || len(read.Events) != 5 || read.Events[0].Seq != 4 {
				t.Errorf("after twice: %+v, %v", read, err)
			}
			at := stream.Position{Epoch: read.Epoch, Seq: 3, Link: read.Events[0].Prev}
			for _, e := range read.Events {
				if v := at.Next(read.Epoch, &e); v != stream.Follows {
					t.Errorf("%+v: verdict %d", e, v)
				}
			}
			// What is read piece by piece goes on from places without a link.
			again, err := s.Read(t.Context(), g, history.Start{After: stream.Position{Epoch: read.Epoch, Seq: 4}})
			if err != nil || again.Gap || !cmp.Equal(read.Events[1:], again.Events, cmpopts.EquateEmpty()) {
				t.Errorf("after a place in the old list: %+v, %v", again, err)
			}

			for _, uuid := range []string{"twice", "escaped", "new"} {
				if err := s.Recall(t.Context(), g, uuid, history.Limit{}, stream.Author{}); err != nil {
					t.Errorf("recall %s: %v", uuid, err)
				}
			}
			if err := s.Recall(t.Context(), g, "twice", history.Limit{}, stream.Author{}); err != nil {
				t.Errorf("recall again: %v", err)
			}
			tomb := func(uuid string) string { return string(packet.Tombstone(uuid)) }
			wantList := []string{tomb("new"), dataPacket("last"), tomb("twice"), tomb("escaped"), dataPacket("between"), tomb("twice"), "bad \xff UTF-8", "not JSON"}
			if diff := cmp.Diff(wantList, list(t, s, g)); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			// A resend of a recalled one stays away, even of one from before.
			if r := submit(t, s, g, "twice", twice); !r.Duplicate || r.Seq != 3 {
				t.Errorf("resend: %+v", r)
			}
			if m, err := s.conn.Client().HGetAll(t.Context(), layout.KeysOf(g).Meta).Result(); err != nil || m["changes"] != "3" || m["adopted"] != "7" {
				t.Errorf("counters: %v, %v", m, err)
			}
		})
	}
}

func TestOldRecallsAreErasedBeforeTheListIsServed(t *testing.T) {
	type use func(ctx context.Context, s *Store, g group.Name) error
	page := func(size int) use {
		return func(ctx context.Context, s *Store, g group.Name) error {
			_, err := s.Page(ctx, g, history.Query{Size: size})
			return err
		}
	}
	first := map[string]use{
		"page":   page(5),
		"window": page(5000),
		"append": func(_ context.Context, s *Store, g group.Name) error {
			return (<-submitAsync(s, g, "new", dataPacket("new"))).Err
		},
		"ttl": func(ctx context.Context, s *Store, g group.Name) error { return s.SetTTL(ctx, g, time.Hour) },
		"recall": func(ctx context.Context, s *Store, g group.Name) error {
			return s.Recall(ctx, g, "m0010", history.Limit{}, stream.Author{})
		},
		"read": func(ctx context.Context, s *Store, g group.Name) error {
			b, err := s.Read(ctx, g, history.Start{})
			if len(b.Events) != 0 || b.Gap {
				return fmt.Errorf("read %+v", b)
			}
			return err
		},
	}
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			for name, use := range first {
				t.Run(name, func(t *testing.T) {
					s, g := on(t, b, Options{}, nil), room(t)
					const n = 1300 // more than two chunks
					old := make([]string, n)
					for i := range old {
						old[i] = dataPacket(fmt.Sprintf("m%04d", i))
					}
					old[700] = "not JSON"
					push(t, s, g, old...)
					for _, i := range []int{0, 511, 512, 700, n - 1} {
						blacken(t, s, g, old[i])
					}
					if err := use(t.Context(), s, g); err != nil {
						t.Error(err)
					}
					slices.Reverse(old)
					for _, i := range []int{0, 511, 512, 700, n - 1} {
						uuid := fmt.Sprintf("m%04d", i)
						if i == 700 {
							uuid = ""
						}
						old[n-1-i] = string(packet.Tombstone(uuid))
					}
					if name == "recall" {
						old[n-1-10] = string(packet.Tombstone("m0010"))
					}
					got := list(t, s, g)
					if diff := cmp.Diff(old, got[len(got)-n:]); diff != "" {
						t.Errorf("list (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}

func TestAnAdoptedListIsTrimmedAndExpiresOnlyIfTheOperatorChoseThat(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			for _, chosen := range []bool{false, true} {
				t.Run(fmt.Sprint(chosen), func(t *testing.T) {
					s := on(t, b, Options{History: History{Cap: 20, CapExplicit: chosen, Retention: time.Hour, RetentionExplicit: chosen}}, nil)
					g := room(t)
					old := make([]string, 2500)
					for i := range old {
						old[i] = fmt.Sprint("old ", i)
					}
					push(t, s, g, old...)
					must(t, s, g, "a", "b", "c")
					want, wantTTL := 2503, time.Duration(-1)
					if chosen {
						want, wantTTL = 20, time.Hour
					}
					if n := len(list(t, s, g)); n != want {
						t.Errorf("the list has %d, want %d", n, want)
					}
					ttl, err := s.conn.Client().PTTL(t.Context(), string(g)).Result()
					if err != nil || chosen != (ttl > time.Minute) || !chosen && ttl != wantTTL {
						t.Errorf("ttl %v, %v", ttl, err)
					}
					// What we keep beside it is bounded in any case.
					for i := range 40 {
						must(t, s, g, fmt.Sprint("u", i))
					}
					if n, err := s.conn.Client().LLen(t.Context(), layout.KeysOf(g).Links).Result(); err != nil || n != 21 {
						t.Errorf("%d links, %v", n, err)
					}
					// A place that is out of the memory of links but in the list.
					got, err := s.Read(t.Context(), g, history.Start{AfterUUID: "u5"})
					if err != nil || got.Gap == !chosen {
						t.Errorf("after u5: gap %v, %d events, %v", got.Gap, len(got.Events), err)
					}
				})
			}
		})
	}
}

func TestSeveralProcessesMayAdoptAtOnce(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			url := b.URL(t)
			g := room(t)
			o := Options{Connection: Connection{URL: url, Embedded: b.Embedded}}
			stores := []*Store{open(t, o, nil), open(t, o, nil), open(t, o, nil)}
			push(t, stores[0], g, dataPacket("a"), dataPacket("b"), dataPacket("c"))
			blacken(t, stores[0], g, dataPacket("b"))
			var answers []<-chan history.Receipt
			for i := range 30 {
				u := fmt.Sprint("n", i)
				answers = append(answers, submitAsync(stores[i%3], g, u, dataPacket(u)))
			}
			seqs := make(map[uint64]bool)
			epochs := make(map[stream.Epoch]bool)
			for _, a := range answers {
				r := wait(t, a)
				if r.Err != nil || r.Duplicate {
					t.Fatalf("%+v", r)
				}
				seqs[r.Seq], epochs[r.Epoch] = true, true
			}
			if len(seqs) != 30 || len(epochs) != 1 || !seqs[4] || !seqs[33] {
				t.Errorf("%d places in %d epochs", len(seqs), len(epochs))
			}
			if got := list(t, stores[0], g); len(got) != 33 || got[31] != string(packet.Tombstone("b")) {
				t.Errorf("list of %d: %q", len(got), got[len(got)-3:])
			}
		})
	}
}

func TestAKeyOfAnotherTypeIsRefusedAndLeftAlone(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			l := &hearing{events: make(chan stream.Event, 10), subscribed: make(chan group.Name, 10)}
			s, g := on(t, b, Options{}, l), room(t)
			if err := s.conn.Client().Set(t.Context(), string(g), "something else", 0).Err(); err != nil {
				t.Fatal(err)
			}
			s.Subscribe(g)
			wait(t, l.subscribed)
			stored := submitAsync(s, g, "u", dataPacket("u"))
			low := make(chan history.Receipt, 1)
			s.Submit(&history.Publication{Group: g, Kind: stream.Text, Payload: []byte("low"), From: historytest.Receipts(low)})
			if r := wait(t, stored); !errors.Is(r.Err, history.ErrWrongType) {
				t.Errorf("append: %+v", r)
			}
			if r := wait(t, low); r.Err != nil {
				t.Errorf("low-level packet: %v", r.Err)
			}
			if e := wait(t, l.events); string(e.Payload) != "low" {
				t.Errorf("heard %+v", e)
			}
			_, pageErr := s.Page(t.Context(), g, history.Query{Size: 5})
			_, windowErr := s.Page(t.Context(), g, history.Query{Size: 5000})
			_, readErr := s.Read(t.Context(), g, history.Start{})
			_, afterErr := s.Read(t.Context(), g, history.Start{AfterUUID: "u"})
			for name, err := range map[string]error{
				"page": pageErr, "window": windowErr, "read": readErr, "after": afterErr,
				"recall": s.Recall(t.Context(), g, "u", history.Limit{}, stream.Author{}), "ttl": s.SetTTL(t.Context(), g, time.Hour),
			} {
				if !errors.Is(err, history.ErrWrongType) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if v, err := s.conn.Client().Get(t.Context(), string(g)).Result(); v != "something else" || err != nil {
				t.Errorf("the key is %q, %v", v, err)
			}
			expectNoKeys(t, s, g)
		})
	}
}

func TestReadsOfAnUnknownGroupCreateNothing(t *testing.T) {
	for _, b := range backends {
		t.Run(b.Name, func(t *testing.T) {
			s, g := on(t, b, Options{}, nil), room(t)
			texts(t, s, g, history.Query{Size: 5})
			texts(t, s, g, history.Query{Size: 5000})
			for _, start := range []history.Start{{}, {AfterUUID: "u"}, {After: stream.Position{Epoch: 1, Seq: 1}}} {
				if _, err := s.Read(t.Context(), g, start); err != nil {
					t.Error(err)
				}
			}
			if err := s.Recall(t.Context(), g, "u", history.Limit{}, stream.Author{}); !errors.Is(err, history.ErrNotFound) {
				t.Error(err)
			}
			expectNoKeys(t, s, g)
		})
	}
}

// expectNoKeys fails if we keep anything about g.
func expectNoKeys(t *testing.T, s *Store, g group.Name) {
	t.Helper()
	k := layout.KeysOf(g)
	for _, key := range k.All()[1:] {
		if n, err := s.conn.Client().Exists(t.Context(), key).Result(); n != 0 || err != nil {
			t.Errorf("%s exists: %d, %v", key, n, err)
		}
	}
}

// hearing is a listener that hands everything on.
type hearing struct {
	subscribed chan group.Name
	events     chan stream.Event
}

func (h *hearing) Subscribed(g group.Name) { h.subscribed <- g }

func (h *hearing) Heard(_ group.Name, _ stream.Epoch, events []stream.Event) {
	for _, e := range events {
		h.events <- e
	}
}
