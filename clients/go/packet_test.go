package gotapi

import (
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// The server's own writer is the reference: docs/protocol.md, section 2.2.
func TestRefusalIsReadAsTheServerWritesIt(t *testing.T) {
	for _, tt := range []struct {
		data []byte
		want Error
	}{
		{packet.AppendError(nil, "u", 403, "no"), Error{Code: 403, Msg: "no"}},
		{packet.AppendTooMuch(nil, "u", "too fast", 1500), Error{Code: 429, Msg: "too fast", RetryAfter: 1500 * time.Millisecond}},
	} {
		in := parse(tt.data)
		if got := refusalOf(in.body); in.command != 7 || *got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.data, *got, tt.want)
		}
	}
	far := []byte(`{"data":{"code":429,"msg":"","retryAfter":1e300}}`)
	if got := refusalOf(far); got.RetryAfter != time.Hour {
		t.Errorf("%s: got %v, want an hour at most", far, got.RetryAfter)
	}
}
