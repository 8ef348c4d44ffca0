package packet

import "bytes"

// exponentLimit is more than any text has digits, and far from overflow.
const exponentLimit = 1 << 30

// nearOne says whether b begins with a number that rounding or truncation can
// make 1: 0.5 <= n < 2. It is exact for JSON numbers of any length, and reads
// the other spellings that exist (+1, 01, .9, 1., 1_0, 0x1), too.
func nearOne(b []byte) bool {
	if len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	// n = 0.d... * 10^exp, where d is its first digit that is not 0.
	d, exp, point, i := byte('0'), 0, false, 0
	for ; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c == '_':
			continue
		case !isDigit(c):
			return firstDigitNearOne(d, exp+exponent(b[i:])) || d == '0' && !point && i > 0 && otherBaseIsOne(b[i:])
		}
		if d == '0' {
			d = c
		}
		switch {
		case !point && d != '0':
			exp++
		case point && d == '0':
			exp--
		}
	}
	return firstDigitNearOne(d, exp)
}

// firstDigitNearOne: 0.5... to 0.9..., or 1...
func firstDigitNearOne(d byte, exp int) bool {
	return d >= '5' && exp == 0 || d == '1' && exp == 1
}

// exponent reads "e-12"; anything else is 0.
func exponent(b []byte) int {
	if b[0] != 'e' && b[0] != 'E' {
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
	for _, c := range b {
		if !isDigit(c) {
			break
		}
		n = min(n*10+int64(c-'0'), exponentLimit)
	}
	return sign * int(n)
}

// otherBaseIsOne reads what follows the 0 of 0x1, 0b1 or 0o1.
func otherBaseIsOne(b []byte) bool {
	if c := b[0] | 0x20; c != 'x' && c != 'b' && c != 'o' {
		return false
	}
	digits := bytes.TrimLeft(b[1:], "0_")
	return len(digits) > 0 && digits[0] == '1' && (len(digits) == 1 || !isHex(digits[1]))
}
