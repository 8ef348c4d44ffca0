package packet

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// vector is one entry of testdata/packets.json, which the JavaScript tests and
// the conformance suite read, too. The message is text, or hex, or parts: each
// a text and its number of repetitions.
type vector struct {
	Name, Section string
	Text          *string
	Hex           *string
	Parts         []part
	Kind          string
	UUID          string
	Query         *QueryArgs
}

type part struct {
	text  string
	times int
}

func (p *part) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&p.text, &p.times})
}

func (v *vector) message(tb testing.TB) []byte {
	tb.Helper()
	switch {
	case v.Text != nil:
		return []byte(*v.Text)
	case v.Hex != nil:
		b, err := hex.DecodeString(*v.Hex)
		if err != nil {
			tb.Fatalf("%s: %v", v.Name, err)
		}
		return b
	}
	var b strings.Builder
	for _, p := range v.Parts {
		b.WriteString(strings.Repeat(p.text, p.times))
	}
	return []byte(b.String())
}

func (v *vector) want() Packet {
	p := Packet{UUID: v.UUID}
	for kind, name := range kindNames {
		if name == v.Kind {
			p.Kind = kind
		}
	}
	if v.Query != nil {
		p.Query = *v.Query
	}
	return p
}

var kindNames = map[Kind]string{
	Low: "low", Data: "data", Ping: "ping", Receipt: "receipt",
	Query: "query", Dropped: "dropped", BadUUID: "bad-uuid",
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("../../testdata/packets.json")
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	if len(vs) < 100 {
		tb.Fatalf("only %d vectors", len(vs))
	}
	return vs
}

func TestClassifyVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			msg := v.message(t)
			if got, want := Classify(msg), v.want(); got != want {
				t.Errorf("Classify(%.200q)\n got %s %+v\nwant %s %+v", msg, kindNames[got.Kind], got, v.Kind, want)
			}
		})
	}
}
