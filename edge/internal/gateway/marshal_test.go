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

func BenchmarkMarshalPageOf100(b *testing.B) {
	page := &historyv1.GetHistoryResponse{Code: 200}
	for i := range 100 {
		page.Data = append(page.Data, fmt.Sprintf(`{"type":2,"uuid":"%020d","body":{"data":"%s","hash":"eb2ef7838a7a57d","sent":false}}`, i, strings.Repeat("hello ", 6)))
	}
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(marshalHistory(page))))
	}
}
