package secretfile

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Lines returns the secrets in what a file holds, one a line, without empty lines: while
// a secret is replaced, the old and the new one are valid. A file that is not text
// holds one secret.
func Lines(b []byte) [][]byte {
	if !isText(b) {
		return [][]byte{Trim(b)}
	}
	var all [][]byte
	for line := range bytes.Lines(b) {
		if line = Trim(line); len(bytes.TrimSpace(line)) > 0 {
			all = append(all, line)
		}
	}
	return all
}

func isText(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
		b = b[size:]
	}
	return true
}
