package gateway

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// plain says which ASCII characters stand in a JSON string as they are.
var plain = func() (table [utf8.RuneSelf]bool) {
	for c := range table {
		table[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return table
}()

// appendString appends s as a JSON string, byte for byte as encoding/json
// writes it without HTML escaping. A page of history has tens of kilobytes of
// them, so it copies eight bytes at a time and looks at all of them at once.
func appendString(b []byte, s string) []byte {
	b = append(slices.Grow(b, len(s)+len(s)/4+roomForWord), '"')
	i := 0
	for len(s)-i >= wordSize {
		if cap(b)-len(b) < roomForWord {
			b = slices.Grow(b, len(s)-i+len(s)/4+roomForWord)
		}
		word := loadWord(s[i : i+wordSize])
		n := len(b)
		binary.LittleEndian.PutUint64(b[n:n+wordSize], word)
		first := firstSpecial(word)
		b, i = b[:n+first], i+first
		switch {
		case first == wordSize:
		case s[i] == '"': // most that is special in a packet
			b = append(b, '\\', '"')
			i++
		default:
			b, i = appendSpecial(b, s, i)
		}
	}
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf && plain[c] {
			b = append(b, c)
			i++
		} else {
			b, i = appendSpecial(b, s, i)
		}
	}
	return append(b, '"')
}

const (
	wordSize = 8
	// A word and the longest escape.
	roomForWord = wordSize + 8
)

func loadWord(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// firstSpecial returns the index of the first of eight bytes (the lowest comes
// first) that is a control character, a quote, a backslash or not ASCII; 8 if
// none is. A subtraction borrows from higher bytes only, so whatever it makes of
// those, the lowest bit that it sets is right.
func firstSpecial(word uint64) int {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	quote, backslash := word^('"'*ones), word^('\\'*ones)
	special := (word - ' '*ones) | (quote - ones) | (backslash - ones) | word
	// A byte from 0x80 on is special by itself; below that, a borrow sets its top.
	return bits.TrailingZeros64(special&tops) / 8
}

// appendSpecial appends what s[i] begins, which is not a plain character, and
// returns where the next one is.
func appendSpecial(b []byte, s string, i int) (_ []byte, next int) {
	if c := s[i]; c < utf8.RuneSelf {
		return appendEscape(b, c), i + 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	switch {
	case r == utf8.RuneError && size == 1:
		b = append(b, `\ufffd`...)
	case r == '\u2028' || r == '\u2029': // line ends to JavaScript before 2019
		b = append(b, `\u202`...)
		b = append(b, hexDigits[r&0xf])
	default:
		b = append(b, s[i:i+size]...)
	}
	return b, i + size
}

const hexDigits = "0123456789abcdef"

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }
