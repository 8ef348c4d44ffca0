package packet

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// wordSize is how many bytes are looked at together: nearly all of a large packet, and
// of a page of history, is strings.
const wordSize = 8

// AppendString appends s as a JSON string. It escapes only what must be escaped;
// each byte of invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	dst = append(dst, '"')
	i := 0
	for len(s)-i >= wordSize {
		w := word(s[i : i+wordSize])
		n := firstSpecial(w)
		dst = binary.LittleEndian.AppendUint64(dst, w)[:len(dst)+n]
		i += n
		if n < wordSize {
			dst = appendEscape(dst, s[i])
			i++
		}
	}
	for ; i < len(s); i++ {
		if isSpecial(s[i]) {
			dst = appendEscape(dst, s[i])
		} else {
			dst = append(dst, s[i])
		}
	}
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	if c == '"' || c == '\\' {
		return append(dst, '\\', c)
	}
	return appendControl(dst, c)
}

func appendControl(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	}
}

// plain returns how many bytes text begins with that are not special.
func plain(text []byte) int {
	n := 0
	for ; n+wordSize <= len(text); n += wordSize {
		if first := firstSpecial(word(text[n:])); first < wordSize {
			return n + first
		}
	}
	for ; n < len(text); n++ {
		if isSpecial(text[n]) {
			break
		}
	}
	return n
}

// isSpecial reports whether c cannot be in a JSON string as it is: a quote, a
// backslash or a control character.
func isSpecial(c byte) bool { return c == '"' || c == '\\' || c < ' ' }

// firstSpecial returns the index of the first special byte of a word, wordSize if there
// is none.
func firstSpecial(w uint64) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	quote, backslash := w^'"'*ones, w^'\\'*ones
	// A subtraction sets the high bit of a byte that is too small for it, and borrows from
	// the next one: so the lowest bit is right. Bytes from 0x80 on are not special.
	special := ((quote - ones) | (backslash - ones) | (w - ' '*ones)) &^ w
	return bits.TrailingZeros64(special&highs) / 8
}

// word returns the first eight bytes as a number, the first one lowest.
func word[T []byte | string](b T) uint64 {
	_ = b[wordSize-1]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
