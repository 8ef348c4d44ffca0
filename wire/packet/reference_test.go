package packet

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// This file reads section 2 of docs/protocol.md again, slowly: it builds the
// whole tree of a document, with every duplicate in it, and then follows the
// table row by row. It shares nothing with the code that it checks.

// node is a JSON value.
type node struct {
	// '{', '[', '"', '0' for a number, or the first letter of true, false, null.
	kind byte
	// Of a number: its text.
	number string
	// Of a string: its UTF-16 code units, as JavaScript has them.
	units []uint16
	// Of an array and of an object: the values, in order.
	values []node
	// Of an object: the names that go with the values.
	names [][]uint16
}

// reader reads JSON as RFC 8259 has it, and panics with failure otherwise.
type reader struct {
	text []rune
	at   int
}

type failure struct{}

// readJSON reads one document, or, when prefix, what a text begins with.
func readJSON(text string, prefix bool) (n node, ok bool) {
	defer func() {
		switch e := recover(); e {
		case nil:
		case failure{}:
			ok = false
		default:
			panic(e)
		}
	}()
	r := &reader{text: []rune(text)}
	r.space()
	n = r.value()
	r.space()
	if !prefix && r.at < len(r.text) {
		return node{}, false
	}
	return n, true
}

func (r *reader) peek() rune {
	if r.at == len(r.text) {
		panic(failure{})
	}
	return r.text[r.at]
}

func (r *reader) take() rune {
	c := r.peek()
	r.at++
	return c
}

func (r *reader) expect(s string) {
	for _, want := range s {
		if r.take() != want {
			panic(failure{})
		}
	}
}

func (r *reader) space() {
	for r.at < len(r.text) && strings.ContainsRune(" \t\r\n", r.text[r.at]) {
		r.at++
	}
}

func (r *reader) value() node {
	switch r.peek() {
	case '{':
		return r.list('{', '}')
	case '[':
		return r.list('[', ']')
	case '"':
		return node{kind: '"', units: r.string()}
	case 't':
		r.expect("true")
		return node{kind: 't'}
	case 'f':
		r.expect("false")
		return node{kind: 'f'}
	case 'n':
		r.expect("null")
		return node{kind: 'n'}
	default:
		return node{kind: '0', number: r.number()}
	}
}

func (r *reader) list(open, end rune) node {
	n := node{kind: byte(open)}
	r.expect(string(open))
	r.space()
	if r.peek() == end {
		r.at++
		return n
	}
	for {
		r.space()
		if open == '{' {
			n.names = append(n.names, r.string())
			r.space()
			r.expect(":")
			r.space()
		}
		n.values = append(n.values, r.value())
		r.space()
		switch r.take() {
		case end:
			return n
		case ',':
		default:
			panic(failure{})
		}
	}
}

func (r *reader) string() []uint16 {
	var units []uint16
	r.expect(`"`)
	for {
		switch c := r.take(); {
		case c == '"':
			return units
		case c < 0x20:
			panic(failure{})
		case c == '\\':
			units = append(units, r.escape())
		default:
			units = utf16.AppendRune(units, c)
		}
	}
}

func (r *reader) escape() uint16 {
	c := r.take()
	if c == 'u' {
		hex := make([]rune, 0, 4)
		for range 4 {
			hex = append(hex, r.take())
		}
		if strings.ContainsAny(string(hex), "+-_") {
			panic(failure{})
		}
		n, err := strconv.ParseUint(string(hex), 16, 16)
		if err != nil {
			panic(failure{})
		}
		return uint16(n)
	}
	unit, ok := map[rune]uint16{'"': '"', '\\': '\\', '/': '/', 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9}[c]
	if !ok {
		panic(failure{})
	}
	return unit
}

func (r *reader) number() string {
	from := r.at
	digits := func() (n int) {
		for r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
			r.at++
			n++
		}
		if n == 0 {
			panic(failure{})
		}
		return n
	}
	one := func(set string) bool {
		if r.at < len(r.text) && strings.ContainsRune(set, r.text[r.at]) {
			r.at++
			return true
		}
		return false
	}
	one("-")
	first := r.peek()
	if n := digits(); first == '0' && n > 1 {
		// RFC 8259 reads the 0 and then finds a digit where none can be.
		panic(failure{})
	}
	if one(".") {
		digits()
	}
	if one("eE") {
		one("+-")
		digits()
	}
	return string(r.text[from:r.at])
}

// all returns every value that stands under a name, and whether one of the
// names only begins with it and goes on with a NUL.
func (n *node) all(name string) (values []node, unsure bool) {
	for i, units := range n.names {
		switch text := string(utf16.Decode(units)); {
		case text == name:
			values = append(values, n.values[i])
		case strings.HasPrefix(text, name+"\x00"):
			values = append(values, n.values[i])
			unsure = true
		}
	}
	return values, unsure
}

// one returns the value of a name if the object has it at most once.
func (n *node) one(name string) (value node, ok bool) {
	values, unsure := n.all(name)
	switch {
	case unsure || len(values) > 1:
		return node{}, false
	case len(values) == 0:
		return node{kind: 'n'}, true
	}
	return values[0], true
}

// couldBeOne: true; a number that is 1 modulo 256 once it is truncated or rounded; an
// array that begins with one of these.
func couldBeOne(n node) bool {
	switch n.kind {
	case 't':
		return true
	case '[':
		return len(n.values) > 0 && couldBeOne(n.values[0])
	case '0':
	default:
		return false
	}
	if _, exp, ok := strings.Cut(strings.ToLower(n.number), "e"); ok && len(strings.TrimLeft(exp, "+-0")) > 5 {
		return false // the fuzzer makes no text with so many digits
	}
	x, ok := new(big.Rat).SetString(n.number)
	if !ok {
		return false
	}
	// Down to one number a little above 0: x - 256 * floor(x / 256).
	floor := new(big.Int).Div(x.Num(), new(big.Int).Mul(x.Denom(), big.NewInt(256)))
	low := new(big.Rat).Sub(x, new(big.Rat).SetInt(floor.Mul(floor, big.NewInt(256))))
	between := func(from, to float64) bool {
		return low.Cmp(new(big.Rat).SetFloat64(from)) >= 0 && low.Cmp(new(big.Rat).SetFloat64(to)) < 0
	}
	if x.Sign() > 0 {
		return between(0.5, 2)
	}
	// Truncated: above 0, as far as 1. Rounded: as far as 1.5.
	return low.Sign() > 0 && (between(0, 1.5) || low.Cmp(big.NewRat(3, 2)) == 0)
}

// referenceClassify is Classify for valid documents; ok is false for others.
func referenceClassify(msg []byte) (p Packet, ok bool) {
	if !utf8.Valid(msg) {
		return Packet{}, false
	}
	doc, ok := readJSON(string(msg), false)
	if !ok || strings.HasPrefix(string(msg), "\ufeff") {
		return Packet{}, false
	}
	if doc.kind != '{' {
		return Packet{Kind: Low}, true
	}
	types, unsure := doc.all("type")
	for _, t := range types {
		if couldBeOne(t) {
			if len(types) > 1 || unsure || t.number != "1" {
				return Packet{Kind: Dropped}, true
			}
			return referenceCommand(doc), true
		}
	}
	if len(types) != 1 || unsure || types[0].kind != '0' || types[0].number != "2" {
		return Packet{Kind: Low}, true
	}
	return referenceData(doc), true
}

func referenceData(doc node) Packet {
	uuid, okUUID := doc.one("uuid")
	body, okBody := doc.one("body")
	switch {
	case !okUUID || !okBody, body.kind != 'n' && body.kind != '{', uuid.kind != 'n' && uuid.kind != '"':
		return Packet{Kind: Low}
	case uuid.kind == 'n':
		return Packet{Kind: Data}
	}
	text, ok := referenceUUID(uuid)
	if !ok {
		return Packet{Kind: BadUUID, UUID: text}
	}
	return Packet{Kind: Data, UUID: text}
}

func referenceUUID(n node) (string, bool) {
	if n.kind == 'n' {
		return "", true
	}
	if n.kind != '"' {
		return "", false
	}
	var text string
	good := true
	for i := 0; i < len(n.units); i++ {
		r := rune(n.units[i])
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if i+1 < len(n.units) {
				pair = utf16.DecodeRune(r, rune(n.units[i+1]))
			}
			if pair == utf8.RuneError {
				good = false
			} else {
				i++
			}
			r = pair
		}
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			good = false
		}
		if len(text)+len(string(r)) > 128 {
			return text, false
		}
		text += string(r)
	}
	return text, good
}

func referenceCommand(doc node) Packet {
	dropped := Packet{Kind: Dropped}
	command, ok := doc.one("command")
	if !ok || command.kind != '0' {
		return dropped
	}
	u, ok := doc.one("uuid")
	if !ok {
		return dropped
	}
	uuid, ok := referenceUUID(u)
	if !ok {
		return dropped
	}
	switch command.number {
	case "5":
		return Packet{Kind: Ping, UUID: uuid}
	case "3", "4":
		if uuid == "" {
			return dropped
		}
		return Packet{Kind: Receipt, UUID: uuid}
	case "2":
		args, ok := referenceQuery(doc)
		if !ok {
			return dropped
		}
		return Packet{Kind: Query, UUID: uuid, Query: args}
	}
	return dropped
}

func referenceQuery(doc node) (q QueryArgs, ok bool) {
	ok = true
	q.Size = 50
	object := func(name string) node {
		n, fine := doc.one(name)
		ok = ok && fine && (n.kind == 'n' || n.kind == '{')
		return n
	}
	integer := func(in node, name string, into *int, low, high int64) {
		n, fine := in.one(name)
		ok = ok && fine
		if n.kind == 'n' {
			return
		}
		v, err := strconv.ParseInt(n.number, 10, 64)
		ok = ok && n.kind == '0' && err == nil && low <= v && v <= high
		*into = int(v)
	}
	number := func(in node, name string) string {
		n, _ := in.one(name)
		return n.number
	}
	text := func(in node, name string) string {
		n, fine := in.one(name)
		s, good := referenceUUID(n)
		ok = ok && fine && good
		return s
	}
	pull, query := object("pullargs"), object("queryArgs")
	integer(pull, "offset", &q.Offset, -2147483647, 2147483647)
	integer(pull, "size", &q.Size, 0, 10000)
	integer(query, "size", &q.Size, 0, 10000)
	integer(pull, "bytes", &q.Bytes, 1, 8388608)
	integer(query, "bytes", &q.Bytes, 1, 8388608)
	if number(pull, "size")+number(query, "size") == "" && q.Bytes == 0 {
		q.Bytes = 1048576
	}
	q.After, q.Before = text(query, "uuid"), text(query, "before")
	if q.After != "" && q.Before != "" {
		return q, false
	}
	if q.After+q.Before != "" {
		q.Offset = 0
	}
	return q, ok
}
