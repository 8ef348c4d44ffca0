package layout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

func samplePayload() []byte {
	b := fmt.Appendf(nil, "M%s%016d%s%s", FormatEpoch(0xfedcba9876543210), 41, "\x00\x00\x00\x07", "\xff\xff\xff\xff")
	b = AppendPacketHead(b, "\xff\xff\xff\xff", stream.Message, stream.Origin{Edge: 1, ID: 2}, 5)
	b = append(b, "first"...)
	b = AppendPacketHead(b, "", stream.Text, stream.Origin{}, 0)
	b = AppendPacketHead(b, "\xff\xff\xff\xff", stream.Message, stream.Origin{}, 3)
	return append(b, "two"...)
}

func TestAPayloadIsReadAsItWasWritten(t *testing.T) {
	epoch, events, err := DecodePayload(samplePayload())
	if err != nil || epoch != 0xfedcba9876543210 {
		t.Fatalf("epoch %x, %v", epoch, err)
	}
	want := []stream.Event{
		{Kind: stream.Message, Seq: 41, Prev: 7, Link: 0xffffffff, Origin: stream.Origin{Edge: 1, ID: 2}, Payload: []byte("first")},
		{Kind: stream.Text},
		{Kind: stream.Message, Seq: 42, Prev: 0xffffffff, Link: 0xffffffff, Payload: []byte("two")},
	}
	if diff := cmp.Diff(want, events, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPayloadIsReadWithOneSliceOfEvents(t *testing.T) {
	payload := samplePayload()
	// The texts of epoch and number are the other two.
	if got := testing.AllocsPerRun(100, func() { _, _, _ = DecodePayload(payload) }); got > 3 {
		t.Errorf("%v allocations for 3 packets", got)
	}
}

func TestAMalformedPayloadIsAnError(t *testing.T) {
	good := samplePayload()
	for i := 1; i < len(good); i++ {
		// Cut between packets it is whole.
		if _, events, err := DecodePayload(good[:i]); err == nil && len(events) == 3 {
			t.Errorf("the first %d of %d bytes are taken for all", i, len(good))
		}
	}
	loose := append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, "", stream.Message, stream.Origin{}, 0)...)
	for name, b := range map[string][]byte{
		"empty":                     nil,
		"unknown kind of payload":   append([]byte("X"), good[1:]...),
		"a message without a place": loose,
		"an unknown kind of packet": append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, "", 9, stream.Origin{}, 0)...),
		"a length beyond the end":   append(append([]byte{}, BroadcastHead...), AppendPacketHead(nil, "", stream.Text, stream.Origin{}, 1)...),
		"a recall without numbers":  []byte(fmt.Sprintf("R%0*d", recallSize, 0))[:recallSize-9],
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
	f.Add(fmt.Appendf(nil, "R%s%016d%016d%016d%s%s%s", FormatEpoch(7), 3, 2, 1, "aaaa", "bbbb", "uuid"))
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, events, err := DecodePayload(b)
		if err != nil {
			return
		}
		var at *stream.Position
		for _, e := range events {
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
	f.Add("aaaa00000000000000030000000000000002uuid")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseChange(s, 9)
		if err == nil && (e.Kind != stream.Recall || e.Changes != 9 || len(e.UUID) != len(s)-36) {
			t.Fatalf("%q: %+v", s, e)
		}
	})
}

// BenchmarkDecodePayload reads what append.lua puts on the bus for 16 messages of
// 128 bytes: one operation is one payload.
func BenchmarkDecodePayload(b *testing.B) {
	payload := fmt.Appendf(nil, "M%s%016d%s%s", FormatEpoch(1<<60), 41, "\x00\x00\x00\x07", "\x00\x00\x00\x08")
	for i := range uint64(16) {
		payload = AppendPacketHead(payload, "\x00\x00\x00\x08", stream.Message, stream.Origin{Edge: 1 << 60, ID: i}, 128)
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
