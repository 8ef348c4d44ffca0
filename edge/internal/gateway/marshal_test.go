package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	historyv1 "github.com/gotapi/gotapi-ws/proto/gen/gotapi/history/v1"
)

func FuzzAppendStringIsEncodingJSON(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\b\f\n\r\t\x1f\x7f", "é房😀", "\xff\xe6\x88", "\u2028\u2029\u202a", "<&>", "\ufffd"} {
		f.Add(s)
		for n := range 9 { // at every place of a word, and across two
			f.Add(strings.Repeat("a", n) + s + "0123456789" + s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, s)); got+"\n" != want.String() {
			t.Errorf("%q: got %s, want %s", s, got, want.String())
		}
	})
}

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
