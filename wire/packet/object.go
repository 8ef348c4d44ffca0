package packet

import "unicode/utf8"

// member is what an object says under one name.
type member struct {
	// How often the name occurs, lookalikes included: only 1 is well-formed.
	count int
	// The text of the first value.
	raw []byte
}

// sole reports whether the name occurs exactly once.
func (m *member) sole() bool { return m.count == 1 }

// absent reports whether there is nothing, or a single null.
func (m *member) absent() bool {
	return m.count == 0 || m.sole() && string(m.raw) == "null"
}

// object reads over an object and notes the members called names[i] in
// found[i]. each, if not nil, hears of every value of these.
func (s *scanner) object(names []string, found []member, each func(i int, raw []byte)) bool {
	return s.members(func(name quoted, raw []byte) {
		i, sure := find(names, name)
		if i < 0 {
			return
		}
		note(&found[i], raw, sure)
		if each != nil {
			each(i, raw)
		}
	})
}

// members reads over an object. each hears of every member.
func (s *scanner) members(each func(name quoted, raw []byte)) bool {
	if !s.next('{') {
		return false
	}
	s.space()
	if s.next('}') {
		return true
	}
	for {
		name, ok := s.key()
		if !ok {
			return false
		}
		from := s.i
		if !s.value() {
			return false
		}
		each(name, s.b[from:s.i])
		s.space()
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
		s.space()
	}
}

func note(m *member, raw []byte, sure bool) {
	if m.count == 0 {
		m.raw = raw
	}
	m.count++
	if !sure {
		m.count++
	}
}

// find looks a name up, after unescaping. Readers that keep strings as C does
// end a name at its first NUL: what only they take for names[i] is not sure.
func find(names []string, q quoted) (i int, sure bool) {
	if !q.escaped {
		for i, name := range names {
			if string(q.raw) == name {
				return i, true
			}
		}
		return -1, false
	}
	var room [32]byte
	for i, name := range names {
		start := unescape(room[:0], q.raw, len(name)+utf8.UTFMax) // one more character, if there is one
		if string(start) == name {
			return i, true
		}
		if len(start) > len(name) && start[len(name)] == 0 && string(start[:len(name)]) == name {
			return i, false
		}
	}
	return -1, false
}

// unescape appends at most limit bytes of a string's meaning to dst: whole
// characters only, U+FFFD for half a surrogate pair and for invalid UTF-8.
// raw comes from scanner.str.
func unescape(dst, raw []byte, limit int) []byte {
	for len(raw) > 0 {
		r, size := decode(raw)
		if len(dst)+utf8.RuneLen(r) > limit {
			break
		}
		dst = utf8.AppendRune(dst, r)
		raw = raw[size:]
	}
	return dst
}

// decode returns the character that raw begins with and the length of its
// text. Half a surrogate pair is U+FFFD.
func decode(raw []byte) (r rune, size int) {
	if raw[0] != '\\' {
		return utf8.DecodeRune(raw)
	}
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return decodeUnicode(raw)
	default: // " \ /
		return rune(c), 2
	}
}

func decodeUnicode(raw []byte) (r rune, size int) {
	r = hex4(raw[2:6])
	switch {
	case r < 0xd800 || r > 0xdfff:
		return r, 6
	case r < 0xdc00 && len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u':
		if low := hex4(raw[8:12]); 0xdc00 <= low && low <= 0xdfff {
			return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) (r rune) {
	for _, c := range b {
		d := rune(c - '0')
		if c > '9' {
			d = rune(c|0x20-'a') + 10
		}
		r = r<<4 | d
	}
	return r
}
