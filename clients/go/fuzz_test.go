package gotapi

import (
	"encoding/json"
	"testing"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// FuzzUnderstand checks that whatever a server sends is understood as something, and
// that only what is stored has a place in the stream.
func FuzzUnderstand(f *testing.F) {
	for _, seed := range []string{
		`{"type":2,"uuid":"u","body":{}}`, `{"type":1,"command":1,"uuid":"u"}`, `{"type":1,"command":6,"uuid":"u"}`,
		`{"type":1,"command":7,"uuid":"u","body":{"data":{"code":410,"msg":"gone"}}}`, `{"type":1,"command":7,"body":[]}`,
		`{"type":1,"command":3,"uuid":"u"}`, `hello`, `{"type":1.0}`, "\xff", `{"type":1,"command":7,"body":{"data":{"code":1e99}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := parse(data)
		if stored := packet.Classify(data).Kind == packet.Data; stored != (r.kind == packet.Data) {
			t.Errorf("%q: understood as %v", data, r.kind)
		}
		if r.kind == packet.Dropped && r.command == packet.CommandError {
			if why := refusalOf(r.body); why.Code == 0 {
				t.Errorf("%q: a refusal without a code", data)
			}
		}
		if r.kind == packet.Dropped && !json.Valid(data) {
			t.Errorf("%q: a command in what is not JSON", data)
		}
	})
}
