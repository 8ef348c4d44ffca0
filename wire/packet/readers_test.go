package packet

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// This file has the rules of readers that make 1 of what is not the number 1, for
// FuzzLowLevelIsNeverReadAsCommand. None of them is asked about strings: that "1" is
// low-level is part of the contract, and readers must not take it for a number.

// lastOf returns the last value under a name: most readers let it win.
func lastOf(doc node, name string) (value node, there bool) {
	for i, units := range slices.Backward(doc.names) {
		if string(utf16.Decode(units)) == name {
			return doc.values[i], true
		}
	}
	return node{}, false
}

// doubleOf is a number as a double; what is none is not a number.
func doubleOf(n node) float64 {
	if n.kind != '0' {
		return math.NaN()
	}
	x, _ := strconv.ParseFloat(n.number, 64) // too large is infinite, as everywhere
	return x
}

// jsValue reports whether is holds for the type, converted to a number as JavaScript
// does for == and for | 0.
func jsValue(msg []byte, is func(float64) bool) bool {
	doc, ok := readJSON(decodeUTF8(msg), false)
	t, there := lastOf(doc, "type")
	return ok && there && t.kind != '"' && is(jsNumber(t))
}

func jsNumber(n node) float64 {
	switch n.kind {
	case 't':
		return 1
	case 'f', 'n':
		return 0
	case '[':
		// By way of its text, in which an only element is as if it were alone, but not
		// true. An element that is a string is the string's own matter.
		if len(n.values) == 1 && (n.values[0].kind == '0' || n.values[0].kind == '[') {
			return jsNumber(n.values[0])
		}
		return math.NaN()
	default:
		return doubleOf(n)
	}
}

// int32Of is ToInt32 of ECMA-262.
func int32Of(x float64) int32 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	low := math.Mod(math.Trunc(x), 1<<32)
	if low < 0 {
		low += 1 << 32
	}
	return int32(uint32(low))
}

// cJSON reads what a text begins with; the first of duplicates wins, true is 1 as
// valueint, and a number is a double that is truncated.
func cJSON(msg []byte) bool {
	doc, ok := readJSON(decodeUTF8(msg), true)
	if !ok {
		return false
	}
	types, _ := doc.all("type")
	return len(types) > 0 && (types[0].kind == 't' || math.Trunc(doubleOf(types[0])) == 1)
}

// integerModulo reads an integer of any size and keeps its low bits.
func integerModulo(msg []byte, bits uint) bool {
	doc, ok := readJSON(decodeUTF8(msg), false)
	t, there := lastOf(doc, "type")
	if !ok || !there || t.kind != '0' {
		return false
	}
	x, ok := new(big.Int).SetString(t.number, 10)
	return ok && lowBitsAre1(x, bits)
}

func lowBitsAre1(x *big.Int, bits uint) bool {
	modulus := new(big.Int).Lsh(big.NewInt(1), bits)
	return new(big.Int).Mod(x, modulus).Cmp(big.NewInt(1)) == 0
}

// gsonInt is JsonElement.getAsInt: of an array the only element, of an unquoted
// literal Integer.parseInt, Long.parseLong, or else BigDecimal, cut to 32 bits.
func gsonInt(v javaValue) bool {
	if v.only != nil {
		return gsonInt(*v.only)
	}
	text := asciiDigits(v.literal)
	if x, ok := new(big.Int).SetString(text, 10); ok && !strings.Contains(text, "_") {
		return lowBitsAre1(x, 32)
	}
	if _, exp, _ := strings.Cut(strings.ToLower(text), "e"); len(exp) > 5 || strings.ContainsAny(text, "/_xXpP") {
		return false
	}
	x, ok := new(big.Rat).SetString(text)
	return ok && lowBitsAre1(new(big.Int).Quo(x.Num(), x.Denom()), 32)
}

// androidInt is JSONObject.getInt: of an unquoted literal Long.parseLong, of base 16
// after 0x and 8 after 0, cut to 32 bits, or else Double.valueOf, truncated.
func androidInt(v javaValue) bool {
	text := asciiDigits(v.literal)
	if !strings.ContainsAny(text, "._") {
		digits, base := text, 10
		switch {
		case strings.HasPrefix(text, "0x"), strings.HasPrefix(text, "0X"):
			digits, base = text[2:], 16
		case strings.HasPrefix(text, "0") && len(text) > 1:
			digits, base = text[1:], 8
		}
		if x, err := strconv.ParseInt(digits, base, 64); err == nil {
			return int32(x) == 1
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	return err == nil && !strings.ContainsAny(text, "_xX") && math.Trunc(x) == 1
}

// asciiDigits replaces the digits of all scripts, as Java's Character.digit reads them.
func asciiDigits(text string) string {
	return strings.Map(func(r rune) rune {
		for _, run := range unicode.Nd.R16 {
			if rune(run.Lo) <= r && r <= rune(run.Hi) {
				return '0' + (r-rune(run.Lo))%10
			}
		}
		for _, run := range unicode.Nd.R32 {
			if rune(run.Lo) <= r && r <= rune(run.Hi) {
				return '0' + (r-rune(run.Lo))%10
			}
		}
		return r
	}, text)
}

// javaValue is what the lenient parsers of Java make of a value: an unquoted literal,
// or an array with an only element. Of other values nothing is known.
type javaValue struct {
	literal string
	only    *javaValue
}

// javaReads reads the object that msg begins with as Gson (lenient) and Android's
// org.json do, and reports whether isOne holds for its last type. It reads as far as it
// can: what comes after the type may be broken.
func javaReads(msg []byte, isOne func(javaValue) bool) (found bool) {
	defer func() {
		if e := recover(); e != nil && e != (failure{}) {
			panic(e)
		}
	}()
	r := &javaReader{reader{text: []rune(strings.TrimPrefix(decodeUTF8(msg), ")]}'\n"))}}
	r.blank()
	if r.take() != '{' {
		return false
	}
	for {
		r.blank()
		if r.peek() == '}' {
			return found
		}
		name := r.word()
		r.blank()
		switch r.take() {
		case '=', ':':
			if r.at < len(r.text) && r.text[r.at] == '>' {
				r.at++
			}
		default:
			return found
		}
		value := r.javaValue()
		if name == "type" {
			found = isOne(value)
		}
		r.blank()
		switch r.take() {
		case ',', ';':
		default:
			return found
		}
	}
}

type javaReader struct{ reader }

// blank skips white space and comments.
func (r *javaReader) blank() {
	for r.at < len(r.text) {
		rest := string(r.text[r.at:min(r.at+2, len(r.text))])
		switch {
		case strings.ContainsRune(" \t\r\n", r.text[r.at]):
			r.at++
		case rest == "/*":
			r.at += 2
			for r.take() != '*' || r.peek() != '/' {
				continue
			}
			r.at++
		case rest == "//", r.text[r.at] == '#':
			for r.at < len(r.text) && r.text[r.at] != '\r' && r.text[r.at] != '\n' {
				r.at++
			}
		default:
			return
		}
	}
}

// word reads a name or another text, in quotes of either kind or in none.
func (r *javaReader) word() string {
	quote := r.peek()
	if quote != '"' && quote != '\'' {
		from := r.at
		for r.at < len(r.text) && !strings.ContainsRune("{}[]/\\:,=;# \t\f\r\n", r.text[r.at]) {
			r.at++
		}
		if r.at == from {
			panic(failure{})
		}
		return string(r.text[from:r.at])
	}
	r.at++
	var units []uint16
	for {
		switch c := r.take(); c {
		case quote:
			return string(utf16.Decode(units))
		case '\\':
			units = append(units, r.javaEscape())
		default:
			units = utf16.AppendRune(units, c)
		}
	}
}

// javaEscape reads \u with digits of any script, as Integer.parseInt does, and takes an
// unknown escape for the character itself.
func (r *javaReader) javaEscape() uint16 {
	c := r.take()
	if c != 'u' {
		if unit, ok := map[rune]uint16{'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9}[c]; ok {
			return unit
		}
		return uint16(c)
	}
	hex := make([]rune, 0, 4)
	for range 4 {
		hex = append(hex, r.take())
	}
	text := asciiDigits(string(hex))
	n, err := strconv.ParseInt(text, 16, 32)
	if err != nil || strings.Contains(text, "_") {
		panic(failure{})
	}
	return uint16(n)
}

func (r *javaReader) javaValue() javaValue {
	r.blank()
	switch r.peek() {
	case '"', '\'':
		r.word()
		return javaValue{}
	case '[':
		r.at++
		only := r.javaValue()
		r.blank()
		if r.take() != ']' {
			panic(failure{})
		}
		return javaValue{only: &only}
	case '{':
		panic(failure{}) // an object before the type: nothing is known of it
	default:
		return javaValue{literal: r.word()}
	}
}
