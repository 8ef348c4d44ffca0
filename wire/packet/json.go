package packet

import "unicode/utf8"

// This file reads JSON of others as strictly as Classify reads a packet.

// Object reads a text that must be one JSON object. It calls each for every member, with
// the name after unescaping and the text of the value. It reports whether text is an object;
// if not, each may have been called.
func Object(text []byte, each func(name, value []byte)) bool {
	if !utf8.Valid(text) {
		return false
	}
	s := scanner{b: text}
	s.space()
	ok := s.members(func(name quoted, value []byte) {
		if name.escaped {
			name.raw = unescape(nil, name.raw, utf8.UTFMax*len(name.raw))
		}
		each(name.raw, value)
	})
	s.space()
	return ok && s.i == len(text)
}

// Text returns the text of a JSON string that Object has found. ok is false if the value is
// not a string, or has half a surrogate pair.
func Text(value []byte) (text string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	raw := value[1 : len(value)-1]
	if n := plain(raw); n == len(raw) {
		return string(raw), true
	}
	b := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		if raw[0] != '\\' {
			n := plain(raw)
			b, raw = append(b, raw[:n]...), raw[n:]
			continue
		}
		r, size := decode(raw)
		if r == utf8.RuneError && !isEscapedFFFD(raw) {
			return "", false
		}
		b, raw = utf8.AppendRune(b, r), raw[size:]
	}
	return string(b), true
}

// Number returns the number of an integer literal without a sign that Object has found. ok
// is false if the value is anything else, or more than most.
func Number(value []byte, most uint64) (n uint64, ok bool) {
	for _, c := range value {
		if !isDigit(c) || n > most {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= most
}
