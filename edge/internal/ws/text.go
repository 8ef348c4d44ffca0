package ws

import (
	"errors"
	"io"
	"unicode/utf8"
)

// textReader reads a text message. It fails with errInvalidText as soon as what has come
// cannot become valid UTF-8 any more, without waiting for the rest.
type textReader struct {
	io.Reader
	// The beginning of a character whose end has not come, and its length.
	part [utf8.UTFMax]byte
	n    int
}

// Read implements io.Reader.
func (t *textReader) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	if !t.valid(b[:n]) || t.n > 0 && errors.Is(err, io.EOF) {
		return 0, errInvalidText
	}
	return n, err
}

// valid reports whether b can follow what has come.
func (t *textReader) valid(b []byte) bool {
	for t.n > 0 && len(b) > 0 {
		t.part[t.n] = b[0]
		t.n++
		b = b[1:]
		if !utf8.FullRune(t.part[:t.n]) {
			continue
		}
		if !utf8.Valid(t.part[:t.n]) {
			return false
		}
		t.n = 0
	}
	whole := len(b) - unfinished(b)
	t.n += copy(t.part[t.n:], b[whole:])
	return utf8.Valid(b[:whole])
}

// unfinished returns how many bytes at the end of b are the beginning of a character.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}
