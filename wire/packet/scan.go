package packet

import "bytes"

// scanner reads JSON text exactly as RFC 8259 has it, and leaves UTF-8 to its
// caller. It builds nothing and has no limit of depth: a level costs one bit.
type scanner struct {
	b []byte
	i int
}

// quoted is the text between the quotes of a JSON string.
type quoted struct {
	raw     []byte
	escaped bool
}

// document reads one value with white space around it, and nothing else.
// It returns the value's text.
func (s *scanner) document() (value []byte, ok bool) {
	s.space()
	from := s.i
	if !s.value() {
		return nil, false
	}
	value = s.b[from:s.i]
	s.space()
	return value, s.i == len(s.b)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// next reads c if that is what comes.
func (s *scanner) next(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// value reads a value, however deep.
func (s *scanner) value() bool {
	var open nesting
	for {
		begun, ok := s.begin(&open)
		if !ok {
			return false
		}
		if begun {
			continue
		}
		if ended, ok := s.end(&open); ended || !ok {
			return ok
		}
	}
}

// begin reads a whole scalar or empty container, or, when begun, the beginning
// of a container up to its first value.
func (s *scanner) begin(open *nesting) (begun, ok bool) {
	switch {
	case s.next('{'):
		s.space()
		if s.next('}') {
			return false, true
		}
		open.push(true)
		_, ok = s.key()
		return true, ok
	case s.next('['):
		s.space()
		if s.next(']') {
			return false, true
		}
		open.push(false)
		return true, true
	default:
		return false, s.scalar()
	}
}

// end reads from the end of a value to the beginning of the next one; ended
// says that there is none, because the outermost value is complete.
func (s *scanner) end(open *nesting) (ended, ok bool) {
	for open.depth > 0 {
		s.space()
		inObject := open.inObject()
		switch {
		case s.next(','):
			s.space()
			if inObject {
				_, ok = s.key()
				return false, ok
			}
			return false, true
		case inObject && s.next('}'), !inObject && s.next(']'):
			open.pop()
		default:
			return false, false
		}
	}
	return true, true
}

// key reads a member's name and everything up to its value.
func (s *scanner) key() (quoted, bool) {
	name, ok := s.str()
	if !ok {
		return quoted{}, false
	}
	s.space()
	if !s.next(':') {
		return quoted{}, false
	}
	s.space()
	return name, true
}

func (s *scanner) scalar() bool {
	if s.i == len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"':
		_, ok := s.str()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	s.next('-')
	if !s.next('0') && !s.digits() {
		return false
	}
	if s.next('.') && !s.digits() {
		return false
	}
	if s.next('e') || s.next('E') {
		if !s.next('+') {
			s.next('-')
		}
		return s.digits()
	}
	return true
}

// digits reads one or more.
func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	return s.i > from
}

func (s *scanner) str() (quoted, bool) {
	if !s.next('"') {
		return quoted{}, false
	}
	from, escaped := s.i, false
	for {
		s.i += plain(s.b[s.i:])
		if s.i == len(s.b) {
			return quoted{}, false
		}
		switch s.b[s.i] {
		case '"':
			s.i++
			return quoted{raw: s.b[from : s.i-1], escaped: escaped}, true
		case '\\':
			escaped = true
			if !s.escape() {
				return quoted{}, false
			}
		default: // a control character
			return quoted{}, false
		}
	}
}

func (s *scanner) escape() bool {
	if s.i+1 == len(s.b) {
		return false
	}
	switch s.b[s.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i += 2
		return true
	case 'u':
		if s.i+6 > len(s.b) {
			return false
		}
		for _, c := range s.b[s.i+2 : s.i+6] {
			if !isHex(c) {
				return false
			}
		}
		s.i += 6
		return true
	default:
		return false
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// nesting remembers which of the open containers are objects: the innermost
// ones in top, the others in words of 64.
type nesting struct {
	depth int
	top   uint64
	rest  []uint64
}

func (n *nesting) push(object bool) {
	if n.depth > 0 && n.depth%64 == 0 {
		n.rest = append(n.rest, n.top)
	}
	n.top <<= 1
	if object {
		n.top |= 1
	}
	n.depth++
}

func (n *nesting) pop() {
	n.depth--
	n.top >>= 1
	if n.depth > 0 && n.depth%64 == 0 {
		last := len(n.rest) - 1
		n.top, n.rest = n.rest[last], n.rest[:last]
	}
}

func (n *nesting) inObject() bool { return n.top&1 != 0 }
