package gateway

import (
	"fmt"
	"strings"
	"testing"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func TestMarshalOfOtherTypesIsProtojson(t *testing.T) {
	b, err := new(jsonMarshaler).Marshal(&historyv1.WatchRequest{})
	if err != nil || string(b) != "{}" {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestPagesWithMeta(t *testing.T) {
	next := int32(2)
	page := &historyv1.GetHistoryResponse{
		Code: 200, Data: []string{"c", "b", "a"}, Next: &next, StreamPosition: "AQ_-",
		Meta: []*historyv1.MessageMeta{
			{Seq: 3, At: 1_800_000_000_123, By: "al\"ice"},
			{Seq: 2, At: 1_800_000_000_000, Key: "shop"},
			{},
		},
	}
	const plain = `{"code":200,"position":0,"msg":"","data":["c","b","a"],"next":2`
	const meta = `,"meta":[{"seq":3,"at":1800000000123,"by":"al\"ice"},{"seq":2,"at":1800000000000,"key":"shop"},{"seq":0,"at":0}],"pos":"AQ_-"}`
	if got := string(marshalHistory(page, true)); got != plain+meta {
		t.Errorf("with meta: %s", got)
	}
	if got := string(marshalHistory(page, false)); got != plain+"}" {
		t.Errorf("without meta: %s", got)
	}
	if got := string(marshalHistory(&historyv1.GetHistoryResponse{Code: 200}, true)); got != `{"code":200,"position":0,"msg":"","data":[],"meta":[]}` {
		t.Errorf("of an unknown group: %s", got)
	}
	page.Meta = nil
	if got := string(marshalHistory(page, true)); got != plain+"}" {
		t.Errorf("of a service without meta: %s", got)
	}
}

func BenchmarkMarshalPageOf100(b *testing.B) { benchmarkMarshalPage(b, false) }

func BenchmarkMarshalPageOf100WithMeta(b *testing.B) { benchmarkMarshalPage(b, true) }

func benchmarkMarshalPage(b *testing.B, meta bool) {
	b.Helper()
	page := &historyv1.GetHistoryResponse{Code: 200, StreamPosition: strings.Repeat("x", 40)}
	for i := range 100 {
		page.Meta = append(page.Meta, &historyv1.MessageMeta{
			Seq: uint64(i), At: 1_800_000_000_000, By: fmt.Sprint("user-", i),
		})
		page.Data = append(page.Data, fmt.Sprintf(`{"type":2,"uuid":"%020d","body":{"data":"%s","hash":"eb2ef7838a7a57d","sent":false}}`, i, strings.Repeat("hello ", 6)))
	}
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(marshalHistory(page, meta))))
	}
}
