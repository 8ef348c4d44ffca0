package packet

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mayBeCommand reports whether a reader that is more lenient than RFC 8259 could
// find an object with the number 1 as its type in b, which is not a valid
// document. It errs on the side of yes. Readers that exist and are covered:
//
//   - those that read the first of several documents, or one after the other;
//   - those that skip a byte order mark, guess UTF-16 or UTF-32 (Python), end the
//     text or a name at a NUL (C), replace or ignore invalid UTF-8;
//   - those that accept comments, trailing commas, names in single quotes or in
//     none, "=" for ":", other numbers (01, +1, 1., 0x1), the digits of all scripts,
//     other escapes, control characters in strings, or a text that is cut off
//     (JSON5, Json.NET, Gson, Android's org.json).
//
// Such readers disagree about where strings and containers end, so the name is
// looked for anywhere in a text that begins as an object. A text that begins
// otherwise is not an object: "hello {"type":1}" is no command.
func mayBeCommand(b []byte) bool {
	if objectSaysOne(b) {
		return true
	}
	// UTF-16 and UTF-32 put NULs between the characters that matter here.
	return bytes.IndexByte(b, 0) >= 0 && objectSaysOne(bytes.ReplaceAll(b, []byte{0}, nil))
}

// lineEnds are what ends a line comment: to C, to Java, and to JavaScript and YAML.
var lineEnds = []string{"\n", "\r\n", "\r\n\u2028\u2029\u0085\v\f"}

// objectSaysOne reports whether saysTypeOne is true of the first document that begins
// as an object, after any number of well-formed others, for any meaning of a line's end.
func objectSaysOne(b []byte) bool {
	for _, ends := range lineEnds {
		object, commented := findObject(b, ends)
		if saysTypeOne(object) || !utf8.Valid(object) && saysTypeOne(bytes.ToValidUTF8(object, nil)) {
			return true
		}
		if !commented {
			break
		}
	}
	return false
}

// findObject returns b from the first document on that begins as an object, nil if
// there is none, and reports whether it found a line comment before.
func findObject(b []byte, lineEnds string) (object []byte, commented bool) {
	for {
		var comment bool
		b, comment = skipProlog(b, lineEnds)
		commented = commented || comment
		if len(b) == 0 || b[0] == '{' {
			return b, commented
		}
		s := scanner{b: b}
		if !s.value() {
			return nil, commented
		}
		b = b[s.i:]
	}
}

// skipProlog skips what lenient readers allow before a document: white space of
// any kind, marks, bytes that are not UTF-8, comments, and the guard )]}'.
func skipProlog(b []byte, lineEnds string) (rest []byte, commented bool) {
	for {
		b = bytes.TrimLeftFunc(b, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' || r == utf8.RuneError
		})
		switch {
		case bytes.HasPrefix(b, []byte("/*")):
			_, b, _ = bytes.Cut(b, []byte("*/"))
		case bytes.HasPrefix(b, []byte("//")), bytes.HasPrefix(b, []byte("#")):
			end := bytes.IndexAny(b, lineEnds)
			if end < 0 {
				return nil, true
			}
			b, commented = b[end:], true
		case bytes.HasPrefix(b, []byte(")]}'")):
			b = b[len(")]}'"):]
		default:
			return b, commented
		}
	}
}

// saysTypeOne takes a text that begins with a brace. It looks for the name type, followed
// by a number that can be read as 1, or by a comment that might hide one.
func saysTypeOne(b []byte) bool {
	for i := 1; i < len(b); i++ {
		if isNamePart(b[i-1]) {
			continue
		}
		if n := typeName(b[i:]); n > 0 && valueMayBeOne(b[i+n:]) {
			return true
		}
	}
	return false
}

// typeName returns the length of the name type, if b begins with it: each
// letter plain or escaped, with or without noise between them. Noise before
// the first letter is not looked over, so that a long run of it is not read
// again from each of its bytes.
func typeName(b []byte) int {
	i := 0
	if b[0] == '\\' {
		i = 1
	}
	for k, letter := range []byte("type") {
		for k > 0 && i < len(b) && isNoise(b[i]) {
			i++
		}
		n := letterLen(b[i:], letter)
		if n == 0 {
			return 0
		}
		i += n
	}
	return i
}

// letterLen returns the length of a letter that b begins with: itself, or as it is
// written in an escape after the backslash: u0074, u{74}, x74, in the digits of any
// script (Java), with a sign or padding (Java, Python). letter's code is two digits.
func letterLen(b []byte, letter byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] == letter {
		return 1
	}
	if b[0] != 'u' && b[0] != 'U' && b[0] != 'x' {
		return 0
	}
	rest := skipPadding(b[1:])
	high, n := digit(rest)
	if n == 0 {
		return 0
	}
	low, m := digit(rest[n:])
	if m == 0 || high<<4|low != letter {
		return 0
	}
	rest = rest[n+m:]
	for len(rest) > 0 && (rest[0] == '}' || rest[0] == ' ') {
		rest = rest[1:]
	}
	return len(b) - len(rest)
}

// skipPadding skips what may be before the digits of an escape that count.
func skipPadding(b []byte) []byte {
	for len(b) > 0 {
		value, size := digit(b)
		if size == 0 && strings.IndexByte("{+_ ", b[0]) >= 0 {
			size = 1
		}
		if size == 0 || value != 0 {
			break
		}
		b = b[size:]
	}
	return b
}

// valueMayBeOne looks at what follows a name.
func valueMayBeOne(b []byte) bool {
	rest := skipNoise(b)
	if noise := b[:len(b)-len(rest)]; bytes.HasSuffix(noise, []byte{'\\'}) && escapesNUL(rest) {
		// Whatever follows up to the quote, the name ends here where strings
		// are kept as C does.
		return true
	}
	b = rest
	if len(b) > 0 && (b[0] == '"' || b[0] == '\'' || b[0] == '`') {
		b = skipNoise(b[1:])
	}
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case '/', '#':
		return true
	case ':', '=':
		b = skipNoise(b[1:])
		if len(b) > 0 && b[0] == '>' {
			b = skipNoise(b[1:])
		}
		if len(b) > 0 && b[0] == '[' {
			b = skipNoise(trimBrackets(b))
		}
		return len(b) > 0 && (b[0] == '/' || b[0] == '#' || mayBeOne(b))
	}
	return false
}

// escapesNUL reports whether b, which follows a backslash, may be an escaped NUL.
func escapesNUL(b []byte) bool {
	for _, escape := range []string{"u0000", "U0000", "u{0", "x00", "0"} {
		if bytes.HasPrefix(b, []byte(escape)) {
			return true
		}
	}
	return false
}

// skipNoise skips noise and spaces, up to a digit of any script.
func skipNoise(b []byte) []byte {
	for len(b) > 0 && (isNoise(b[0]) || b[0] == ' ') {
		if _, size := digit(b); size > 0 {
			break
		}
		b = b[1:]
	}
	return b
}

// isNoise: bytes that some reader ignores between two characters of a name.
func isNoise(c byte) bool { return c < ' ' || c >= 0x7f || c == '\\' }

// isNamePart: bytes after which "type" is only the end of a longer name.
func isNamePart(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '-' || c == '.' || c == '$'
}
