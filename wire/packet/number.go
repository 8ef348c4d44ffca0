package packet

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// exponentLimit is more than any text has digits, and far from overflow.
const exponentLimit = 1 << 30

// mayBeOne reports whether some reader takes the value that b begins with for the
// number 1. To many readers true is 1, and an array is its only element.
func mayBeOne(b []byte) bool {
	if len(b) > 0 && b[0] == '[' {
		b = trimBrackets(b)
	}
	return nearOne(b) || beginsWithTrue(b)
}

func trimBrackets(b []byte) []byte {
	for len(b) > 0 && (b[0] == '[' || b[0] <= ' ') {
		b = b[1:]
	}
	return b
}

// beginsWithTrue reports whether b begins with true, in any case.
func beginsWithTrue(b []byte) bool {
	return len(b) >= 4 && b[0]|0x20 == 't' && b[1]|0x20 == 'r' && b[2]|0x20 == 'u' && b[3]|0x20 == 'e'
}

// nearOne reports whether b begins with a number that becomes 1 by rounding, by
// truncation, or by keeping its low 8, 16, 32 or 64 bits: 1, 1.5, 257, -255,
// 4294967297. It is exact for JSON numbers of any length. It also reads the other
// spellings that exist (+1, 01, .9, 1., 1_0, 0x1, 0401) and the digits of all scripts.
func nearOne(b []byte) bool {
	if len(b) == 1 || len(b) > 1 && (b[1] == ',' || b[1] == '}') { // as nearly always
		return b[0] == '1'
	}
	negative := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		negative = b[0] == '-'
		b = b[1:]
	}
	m, rest := scanMantissa(b)
	if m.low(10, m.point+exponent(rest)).isOne(negative) {
		return true
	}
	if first, _ := digit(b); first != 0 || m.digits == 0 || m.point < m.digits {
		return false
	}
	// After a 0 it may be octal (0401) or of another base (0x101).
	return m.low(8, m.digits).isOne(negative) || m.digits == 1 && lowOfBase(rest).isOne(negative)
}

// lowBits are what many readers keep of a number: the low 8 bits of its integer part,
// and whether the fraction rounds it up.
type lowBits struct {
	bits uint8
	half bool
}

// isOne reports whether the number, or its opposite, ends like 1 or rounds to that.
func (l lowBits) isOne(negative bool) bool {
	if negative {
		return l.bits == 255 || l.bits == 254 && l.half
	}
	return l.bits == 1 || l.bits == 0 && l.half
}

// mantissa is a number without its exponent.
type mantissa struct {
	text   []byte
	digits int
	point  int // how many of the digits are before the point
}

// scanMantissa returns the mantissa that b begins with, and what follows.
func scanMantissa(b []byte) (m mantissa, rest []byte) {
	m.point = -1
	rest = b
	for len(rest) > 0 {
		_, size := digit(rest)
		switch {
		case size > 0:
			m.digits++
		case rest[0] == '.' && m.point < 0:
			m.point, size = m.digits, 1
		case rest[0] == '_':
			size = 1
		}
		if size == 0 {
			break
		}
		rest = rest[size:]
	}
	if m.point < 0 {
		m.point = m.digits
	}
	m.text = b[:len(b)-len(rest)]
	return m, rest
}

// low returns the low bits of the number whose integer part is the first whole digits
// of m, or all of them and zeros.
func (m *mantissa) low(base uint8, whole int) (l lowBits) {
	k := 0
	for text := m.text; len(text) > 0 && k <= whole; {
		value, size := digit(text)
		text = text[max(size, 1):]
		switch {
		case size == 0: // the point, or an underscore
			continue
		case k < whole:
			l.bits = l.bits*base + value
		default:
			l.half = value >= 5
		}
		k++
	}
	for range min(whole-m.digits, 8) { // 10 to the power of 8 ends with 8 zero bits
		l.bits *= base
	}
	return l
}

// exponent reads "e-12"; anything else is 0.
func exponent(b []byte) int {
	if len(b) == 0 || b[0]|0x20 != 'e' {
		return 0
	}
	b = b[1:]
	sign := 1
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	n := int64(0)
	for {
		value, size := digit(b)
		if size == 0 {
			return sign * int(n)
		}
		n = min(n*10+int64(value), exponentLimit)
		b = b[size:]
	}
}

// lowOfBase reads what follows the 0 of 0x1, 0b1 or 0o1.
func lowOfBase(b []byte) (l lowBits) {
	base := rune(0)
	if len(b) > 0 {
		switch b[0] | 0x20 {
		case 'x':
			base = 16
		case 'o':
			base = 8
		case 'b':
			base = 2
		}
	}
	for i := 1; i < len(b) && (isHex(b[i]) || b[i] == '_'); i++ {
		if b[i] == '_' {
			continue
		}
		value := hex4(b[i : i+1])
		if value >= base {
			break
		}
		l.bits = l.bits*uint8(base) + uint8(value)
	}
	return l
}

// digit returns the value of the decimal digit that b begins with, in any script, and
// its size in bytes: 0 if there is none.
func digit(b []byte) (value uint8, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < utf8.RuneSelf {
		if !isDigit(b[0]) {
			return 0, 0
		}
		return b[0] - '0', 1
	}
	r, size := utf8.DecodeRune(b)
	i, isZero := slices.BinarySearch(zeros, r)
	switch {
	case isZero:
		return 0, size
	case i == 0 || r-zeros[i-1] > 9:
		return 0, 0
	}
	return uint8(r - zeros[i-1]), size
}

// zeros are the digits 0 of all scripts. The other nine follow each.
var zeros = func() (all []rune) {
	add := func(first, last rune) {
		for zero := first; zero <= last; zero += 10 {
			all = append(all, zero)
		}
	}
	for _, r := range unicode.Nd.R16 {
		add(rune(r.Lo), rune(r.Hi))
	}
	for _, r := range unicode.Nd.R32 {
		add(rune(r.Lo), rune(r.Hi))
	}
	return all
}()
