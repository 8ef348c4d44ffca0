package packet

import (
	"testing"

	"github.com/gotapi/gotapi-ws/wire/stream"
)

func TestWhatAPacketIsPublishedAs(t *testing.T) {
	for _, tt := range []struct {
		msg  string
		text bool
		kind stream.Kind // 0: it is not published
		uuid string
	}{
		{`{"type":2,"uuid":"u"}`, true, stream.Message, "u"},
		{`{"type":2,"uuid":"u"}`, false, stream.Message, "u"},
		{`{"type":2}`, true, stream.Message, ""},
		{`{"type":1,"command":3,"uuid":"u"}`, true, stream.Text, ""},
		{`hello`, true, stream.Text, ""},
		{`hello`, false, stream.Binary, ""},
		{`{"type":1,"command":5,"uuid":"u"}`, true, 0, ""},
		{`{"type":1,"command":2,"uuid":"u"}`, true, 0, ""},
		{`{"type":1,"command":6,"uuid":"u"}`, true, 0, ""},
		{`{"type":2,"uuid":"\u0000"}`, true, 0, ""},
	} {
		p := Classify([]byte(tt.msg))
		kind, uuid, ok := p.Published(tt.text)
		if kind != tt.kind || uuid != tt.uuid || ok != (tt.kind != 0) {
			t.Errorf("%s, text %t: got %v %q, %t, want %v %q", tt.msg, tt.text, kind, uuid, ok, tt.kind, tt.uuid)
		}
	}
}
