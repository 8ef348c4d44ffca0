package group

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// vector is one entry of testdata/groups.json: a path after percent-decoding,
// as text, hex, or parts (each a text and its number of repetitions).
type vector struct {
	Name, Section string
	Text, Hex     *string
	Parts         [][2]any
	Legal         bool
	Why           string
}

func (v *vector) path(tb testing.TB) string {
	tb.Helper()
	if v.Text != nil {
		return *v.Text
	}
	if v.Hex != nil {
		b, err := hex.DecodeString(*v.Hex)
		if err != nil {
			tb.Fatalf("%s: %v", v.Name, err)
		}
		return string(b)
	}
	var b strings.Builder
	for _, p := range v.Parts {
		b.WriteString(strings.Repeat(p[0].(string), int(p[1].(float64))))
	}
	return b.String()
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("../../testdata/groups.json")
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatal(err)
	}
	if len(vs) < 30 {
		tb.Fatalf("only %d vectors", len(vs))
	}
	return vs
}

var reasons = map[string]error{
	"slash": ErrNoSlash, "length": ErrLength, "utf8": ErrUTF8,
	"control": ErrControl, "brace": ErrBrace, "reserved": ErrReserved,
}

func TestParseVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			path := v.path(t)
			got, err := Parse(path)
			switch {
			case v.Legal && (err != nil || string(got) != path):
				t.Errorf("Parse(%q) = %q, %v, want the path itself", path, got, err)
			case !v.Legal && (reasons[v.Why] == nil || !errors.Is(err, reasons[v.Why]) || got != ""):
				t.Errorf("Parse(%q) = %q, %v, want %v", path, got, err, reasons[v.Why])
			}
		})
	}
}

func TestLobbyAndTimerTakeNoPackets(t *testing.T) {
	for name, want := range map[Name]bool{Lobby: false, Timer: false, "/timer/": true, "//": true, "/room/1": true} {
		if got := name.Publishable(); got != want {
			t.Errorf("%q.Publishable() = %v, want %v", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.path(f))
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Parse(s)
		// Section 1 of the contract, once more and in other words.
		control := func(r rune) bool { return unicode.Is(unicode.Cc, r) }
		legal := len(s) >= 1 && len(s) <= 512 && strings.HasPrefix(s, "/") && utf8.ValidString(s) &&
			strings.IndexFunc(s, control) < 0 && !strings.ContainsAny(s, "{}") &&
			s != "/__status" && !strings.HasPrefix(s, "/__/")
		if legal != (err == nil) {
			t.Fatalf("Parse(%q) = %q, %v, want legal = %v", s, name, err, legal)
		}
		if err == nil && string(name) != s || err != nil && name != "" {
			t.Errorf("Parse(%q) = %q, %v", s, name, err)
		}
	})
}
