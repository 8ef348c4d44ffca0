package layout

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

const sampleLink = "\xff\xff\xff\xff"

func samplePayload() []byte {
	b := fmt.Appendf(nil, "M%s%016d%s", FormatEpoch(0xfedcba9876543210), 41, "\x00\x00\x00\x07")
	b = AppendPacketHead(b, stream.Message, sampleLink, &Entry{
		Origin: stream.Origin{Edge: 1, ID: 2}, At: 1_800_000_000_123, Author: history.Author{1}, By: stream.Author{Name: "al\nice"},
	}, 5)
	b = append(b, "first"...)
	b = AppendPacketHead(b, stream.Text, "", &Entry{}, 0)
	b = AppendPacketHead(b, stream.Binary, "", &Entry{By: stream.Author{Name: "backend", Key: true}}, 1)
	b = append(b, 0xff)
	b = AppendPacketHead(b, stream.Message, sampleLink, &Entry{At: 1}, 3)
	return append(b, "two"...)
}

func TestAPayloadIsReadAsItWasWritten(t *testing.T) {
	epoch, events, err := DecodePayload(samplePayload())
	if err != nil || epoch != 0xfedcba9876543210 {
		t.Fatalf("epoch %x, %v", epoch, err)
	}
	want := []stream.Event{
		{
			Kind: stream.Message, Seq: 41, Prev: 7, Link: 0xffffffff, Origin: stream.Origin{Edge: 1, ID: 2},
			At: 1_800_000_000_123, By: stream.Author{Name: "al\nice"}, Payload: []byte("first"),
		},
		{Kind: stream.Text},
		{Kind: stream.Binary, By: stream.Author{Name: "backend", Key: true}, Payload: []byte{0xff}},
		{Kind: stream.Message, Seq: 42, Prev: 0xffffffff, Link: 0xffffffff, At: 1, Payload: []byte("two")},
	}
	if diff := cmp.Diff(want, events, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnEntryHasWhatItNeedsAndIsReadAsItWasWritten(t *testing.T) {
	origin := stream.Origin{Edge: 1 << 63, ID: 7}
	long := strings.Repeat("n", stream.MaxAuthorName)
	for _, tt := range []struct {
		entry Entry
		size  int
		want  Entry // the same unless it is set
	}{
		{entry: Entry{}, size: 26},
		{entry: Entry{Origin: origin, At: 1<<48 - 1}, size: 26},
		{entry: Entry{Origin: origin, At: 9, Author: history.Author{7: 1}}, size: 34},
		{entry: Entry{At: 9, By: stream.Author{Name: "a"}}, size: 36},
		{entry: Entry{At: 9, Author: history.Author{1}, By: stream.Author{Name: long, Key: true}}, size: MaxEntrySize},
		{entry: Entry{At: 9, By: stream.Author{Name: long + "n"}}, size: 26, want: Entry{At: 9}},
		{entry: Entry{At: 9, By: stream.Author{Name: "\xff"}}, size: 26, want: Entry{At: 9}},
	} {
		b := AppendEntry([]byte("before"), "\x00\x00\x00\x05", &tt.entry)[len("before"):]
		if tt.want == (Entry{}) {
			tt.want = tt.entry
		}
		tt.want.Link = 5
		if got := ParseEntry(b); len(b) != tt.size || got != tt.want {
			t.Errorf("entry of %d bytes, want %d: %+v, want %+v", len(b), tt.size, got, tt.want)
		}
	}
}

func TestAnOldOrDamagedEntryIsReadAsFarAsItGoes(t *testing.T) {
	whole := AppendEntry(nil, sampleLink, &Entry{
		Origin: stream.Origin{Edge: 1, ID: 2}, At: 3, Author: history.Author{4}, By: stream.Author{Name: "bob"},
	})
	for n := range whole {
		got := ParseEntry(whole[:n])
		want := Entry{}
		if n >= 4 {
			want.Link = 0xffffffff
		}
		if n >= 20 {
			want.Origin = stream.Origin{Edge: 1, ID: 2}
		}
		if n >= 26 {
			want.At = 3
		}
		if n >= 34 {
			want.Author = history.Author{4}
		}
		if n >= 36 {
			want.By = stream.Author{Name: "bob"[:n-35]}
		}
		if got != want {
			t.Errorf("%d bytes: %+v, want %+v", n, got, want)
		}
	}
}

// sampleChange is a change as recall.lua writes it.
func sampleChange(by stream.Author, uuid string) []byte {
	front, back := ChangeParts("\x00\x00\x00\x05", RecallKind, 1_800_000_000_123, by, uuid)
	return []byte(front + "\x00\x00\x00\x00\x00\x01\x03" + "\x01\x00\x00\x00\x00\x00\x02" + back)
}

func TestAChangeIsReadAsItWasWritten(t *testing.T) {
	for _, by := range []stream.Author{{}, {Name: "alice"}, {Name: "backend", Key: true}} {
		for _, uuid := range []string{"", "u1", strings.Repeat("u", 128)} {
			want := stream.Event{
				Kind: stream.Recall, Seq: 259, Changes: 9, Link: 5, Target: 1<<48 + 2, UUID: uuid, At: 1_800_000_000_123, By: by,
			}
			change := sampleChange(by, uuid)
			if got, err := ParseChange(change, 9); err != nil || !cmp.Equal(want, got) {
				t.Errorf("%q: %+v, %v, want %+v", change, got, err, want)
			}
			payload := append(fmt.Appendf(nil, "C%s%016d%s", FormatEpoch(7), 9, "\x00\x00\x00\x04"), change...)
			want.Prev = 4
			if epoch, got, err := DecodePayload(payload); err != nil || epoch != 7 || !cmp.Equal([]stream.Event{want}, got) {
				t.Errorf("%q: %+v, %v, want %+v", payload, got, err, want)
			}
			for n := range change {
				if got, err := ParseChange(change[:n], 9); err == nil {
					t.Errorf("the first %d of %d bytes are %+v", n, len(change), got)
				}
			}
			change[4] = 2
			if got, err := ParseChange(change, 9); err == nil {
				t.Errorf("an unknown kind is %+v", got)
			}
		}
	}
}

func TestAPayloadIsReadWithOneSliceOfEvents(t *testing.T) {
	payload := samplePayload()
	// The texts of epoch and number are two others, and the names.
	if got := testing.AllocsPerRun(100, func() { _, _, _ = DecodePayload(payload) }); got > 5 {
		t.Errorf("%v allocations for 4 packets, 2 of which have names", got)
	}
}

func TestAMalformedPayloadIsAnError(t *testing.T) {
	good := samplePayload()
	for i := 1; i < len(good); i++ {
		// Cut between packets it is whole.
		if _, events, err := DecodePayload(good[:i]); err == nil && len(events) == 4 {
			t.Errorf("the first %d of %d bytes are taken for all", i, len(good))
		}
	}
	loose := append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, stream.Message, "", &Entry{}, 0)...)
	for name, b := range map[string][]byte{
		"empty":                     nil,
		"unknown kind of payload":   append([]byte("X"), good[1:]...),
		"a message without a place": loose,
		"an unknown kind of packet": append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, 9, "", &Entry{}, 0)...),
		"a length beyond the end":   append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, stream.Text, "", &Entry{}, 1)...),
		"a change without an end":   fmt.Appendf(nil, "C%s%016d%s", FormatEpoch(7), 9, "\x00\x00\x00\x04abcd\x01"),
		"letters for numbers":       append([]byte("M0000000000000000xxxxxxxxxxxxxxxx"), make([]byte, 8)...),
		"no epoch":                  append([]byte("Mzzzzzzzzzzzzzzzz0000000000000000"), make([]byte, 8)...),
	} {
		if _, events, err := DecodePayload(b); err == nil {
			t.Errorf("%s: %+v", name, events)
		}
	}
}

func FuzzDecodePayload(f *testing.F) {
	f.Add(samplePayload())
	f.Add(BroadcastHead)
	f.Add(append(fmt.Appendf(nil, "C%s%016daaaa", FormatEpoch(7), 9), sampleChange(stream.Author{Name: "alice"}, "uuid")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, events, err := DecodePayload(b)
		if err != nil {
			return
		}
		var at *stream.Position
		for _, e := range events {
			if e.By != (stream.Author{}) && !e.By.Valid() {
				t.Fatalf("an author %q", e.By.Name)
			}
			if e.Kind == stream.Recall {
				if len(events) != 1 {
					t.Fatal("a recall among others")
				}
				continue
			}
			if !e.Kind.Stored() {
				continue
			}
			if at == nil {
				at = &stream.Position{Epoch: epoch, Seq: e.Seq - 1, Link: e.Prev}
			}
			if v := at.Next(epoch, &e); v != stream.Follows {
				t.Fatalf("%+v after %+v: verdict %d", e, at, v)
			}
		}
	})
}

func FuzzParseChange(f *testing.F) {
	f.Add(sampleChange(stream.Author{Name: "alice"}, "uuid"))
	f.Add(sampleChange(stream.Author{}, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseChange(b, 9)
		if err != nil {
			return
		}
		if e.Kind != stream.Recall || e.Changes != 9 || e.By != (stream.Author{}) && !e.By.Valid() {
			t.Fatalf("%q: %+v", b, e)
		}
		front, back := ChangeParts(string(b[:4]), RecallKind, e.At, e.By, e.UUID)
		again, err := ParseChange([]byte(front+string(b[kindEnd:targetEnd])+back), 9)
		if err != nil || !cmp.Equal(e, again) {
			t.Fatalf("%+v is read again as %+v, %v", e, again, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add(AppendEntry(nil, sampleLink, &Entry{}))
	f.Add(AppendEntry(nil, sampleLink, &Entry{At: 1, Author: history.Author{1}, By: stream.Author{Name: "alice", Key: true}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := ParseEntry(b)
		if e.By != (stream.Author{}) && !e.By.Valid() {
			t.Fatalf("%q: %+v", b, e)
		}
		link := binary.BigEndian.AppendUint32(nil, uint32(e.Link))
		if again := ParseEntry(AppendEntry(nil, string(link), &e)); again != e {
			t.Fatalf("%+v is read again as %+v", e, again)
		}
	})
}

// BenchmarkDecodePayload reads what append.lua puts on the bus for 16 messages of
// 128 bytes: one operation is one payload.
func BenchmarkDecodePayload(b *testing.B) {
	payload := fmt.Appendf(nil, "M%s%016d%s", FormatEpoch(1<<60), 41, "\x00\x00\x00\x07")
	for i := range uint64(16) {
		payload = AppendPacketHead(payload, stream.Message, "\x00\x00\x00\x08", &Entry{Origin: stream.Origin{Edge: 1 << 60, ID: i}, At: 1 << 40}, 128)
		payload = append(payload, make([]byte, 128)...)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, events, err := DecodePayload(payload); err != nil || len(events) != 16 {
			b.Fatal(len(events), err)
		}
	}
}
