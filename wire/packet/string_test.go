package packet

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAppendString compares with encoding/json, which escapes a little more.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", `a"b\c`, "\x00\b\f\n\r\t\x1f\x7f", "é房😀", "\xff\xe6\x88", "\u2028\u2029\u202a", "<&>", "\ufffd"} {
		f.Add(s)
		for n := range 9 { // at every place of a word, and across two
			f.Add(strings.Repeat("a", n) + s + "0123456789" + s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendString([]byte("before "), s)
		var back string
		if err := json.Unmarshal(got[len("before "):], &back); err != nil {
			t.Fatalf("%q: %s: %v", s, got, err)
		}
		if want := string([]rune(s)); back != want {
			t.Errorf("%q: %s is read as %q, want %q", s, got, back, want)
		}
		theirs, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(got)-len("before ") > len(theirs)+4*strings.Count(s, "\b")+4*strings.Count(s, "\f") {
			t.Errorf("%q: got %s, longer than %s: it escapes what it need not", s, got, theirs)
		}
	})
}
