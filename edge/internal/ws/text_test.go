package ws

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestTextFailsAtTheFirstByteThatCannotBeUTF8(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want int // bytes that are read without a fault
	}{
		"lone continuation":      {"ab\x80cd", 2},
		"beyond Unicode":         {"\xf4\x90\x80\x80", 1},
		"surrogate":              {"κ\xed\xa0\x80edited", 3},
		"overlong":               {"\xc0\xaf", 0},
		"character that breaks":  {"\xf0\x9f\x98x", 3},
		"never used":             {"\xff", 0},
		"fault after characters": {"κόσμε\xfe", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &textReader{Reader: iotest.OneByteReader(strings.NewReader(tt.text))}
			got, err := io.ReadAll(r)
			if !errors.Is(err, errInvalidText) || len(got) != tt.want {
				t.Errorf("%q: %d bytes, then %v; want %d and %v", tt.text, len(got), err, tt.want, errInvalidText)
			}
		})
	}
}

func FuzzTextIsValidAsAWhole(f *testing.F) {
	f.Add([]byte("κόσμε 😀 x"), uint8(1))
	f.Add([]byte("\xf0\x9f\x98"), uint8(2))
	f.Add([]byte("a\xed\xa0\x80b"), uint8(3))
	f.Add([]byte("\xf4\x8f\xbf\xbf"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		in := &stepReader{text, int(step%16) + 1}
		got, err := io.ReadAll(&textReader{Reader: in})
		if valid := utf8.Valid(text); valid != (err == nil) {
			t.Fatalf("%q in pieces of %d: %v, valid: %v", text, in.step, err, valid)
		}
		if err == nil && !bytes.Equal(got, text) {
			t.Fatalf("%q in pieces of %d: got %q", text, in.step, got)
		}
	})
}

// stepReader returns so many bytes at a time.
type stepReader struct {
	left []byte
	step int
}

func (r *stepReader) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.left[:min(r.step, len(r.left))])
	r.left = r.left[n:]
	return n, nil
}
