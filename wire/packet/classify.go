package packet

import "unicode/utf8"

// Limits of a query's arguments (docs/protocol.md, section 2.4).
const (
	DefaultQuerySize = 50
	MaxQuerySize     = 10000
	// Of the texts of a page: its end where the query says neither size nor bytes, and the
	// most that it may say.
	DefaultQueryBytes = 1 << 20
	MaxQueryBytes     = 8 << 20
	maxQueryOffset    = 1<<31 - 1
)

// The members of a packet that mean something to the server.
const (
	fieldType = iota
	fieldCommand
	fieldUUID
	fieldBody
	fieldPull
	fieldQuery
	fields
)

var fieldNames = []string{
	fieldType:    "type",
	fieldCommand: "command",
	fieldUUID:    "uuid",
	fieldBody:    "body",
	fieldPull:    "pullargs",
	fieldQuery:   "queryArgs",
}

// Classify says what msg is. It takes any bytes, keeps none of them, and its
// time grows with their number only.
//
// Only a text that RFC 8259 calls one JSON object in valid UTF-8 is more than
// Low or Dropped. Its names are compared exactly, after unescaping; a name that
// occurs twice, or that ends at a NUL for readers that keep strings as C
// does, makes a command Dropped and a data packet Low.
//
// What is Low is relayed, so no reader must take it for a command:
//   - In an object, mayBeOne looks at each value of "type": one that a reader can
//     take for 1 (1.0, 1.5, 257, true, [1]) makes it Dropped. A string, even "1",
//     does not: it is not a number to JSON.parse.
//   - mayBeCommand looks at what is not one valid document.
func Classify(msg []byte) Packet {
	if !utf8.Valid(msg) {
		return suspect(msg)
	}
	s := scanner{b: msg}
	s.space()
	if s.i == len(msg) || msg[s.i] != '{' {
		if _, ok := s.document(); ok {
			return Packet{Kind: Low}
		}
		return suspect(msg)
	}
	var found [fields]member
	command := false
	ok := s.object(fieldNames, found[:], func(i int, raw []byte) {
		command = command || i == fieldType && mayBeOne(raw)
	})
	s.space()
	if !ok || s.i != len(msg) {
		return suspect(msg)
	}
	if command {
		return classifyCommand(&found)
	}
	return classifyData(&found)
}

// suspect classifies what is not a valid JSON document.
func suspect(msg []byte) Packet {
	if mayBeCommand(msg) {
		return Packet{Kind: Dropped}
	}
	return Packet{Kind: Low}
}

func classifyData(found *[fields]member) Packet {
	kind, uuid, body := &found[fieldType], &found[fieldUUID], &found[fieldBody]
	if !kind.sole() || string(kind.raw) != "2" || !body.absent() && !(body.sole() && body.raw[0] == '{') {
		return Packet{Kind: Low}
	}
	if uuid.absent() {
		return Packet{Kind: Data}
	}
	if !uuid.sole() || uuid.raw[0] != '"' {
		return Packet{Kind: Low}
	}
	text, ok := parseUUID(uuid.raw)
	if !ok {
		return Packet{Kind: BadUUID, UUID: text}
	}
	return Packet{Kind: Data, UUID: text}
}

// classifyCommand classifies an object of which a type may be read as 1.
func classifyCommand(found *[fields]member) Packet {
	kind, command := &found[fieldType], &found[fieldCommand]
	if !kind.sole() || string(kind.raw) != "1" || !command.sole() {
		return Packet{Kind: Dropped}
	}
	uuid, ok := optionalUUID(&found[fieldUUID])
	if !ok {
		return Packet{Kind: Dropped}
	}
	switch string(command.raw) {
	case "2":
		if args, ok := parseQuery(&found[fieldPull], &found[fieldQuery]); ok {
			return Packet{Kind: Query, UUID: uuid, Query: args}
		}
	case "3", "4":
		if uuid != "" {
			return Packet{Kind: Receipt, UUID: uuid}
		}
	case "5":
		return Packet{Kind: Ping, UUID: uuid}
	}
	return Packet{Kind: Dropped}
}

// optionalUUID returns "" for what is absent or null.
func optionalUUID(m *member) (uuid string, ok bool) {
	if m.absent() {
		return "", true
	}
	if !m.sole() || m.raw[0] != '"' {
		return "", false
	}
	return parseUUID(m.raw)
}

// parseUUID reads a JSON string. What cannot be a uuid is returned as far as
// MaxUUID allows, with ok false; the empty string is all right.
func parseUUID(raw []byte) (uuid string, ok bool) {
	raw = raw[1 : len(raw)-1]
	if len(raw) <= MaxUUID && isPlainASCII(raw) {
		return string(raw), true
	}
	var room [MaxUUID]byte
	ok = true
	text := room[:0]
	for len(raw) > 0 {
		r, size := decode(raw)
		if r == utf8.RuneError && raw[0] == '\\' && !isEscapedFFFD(raw) || isControl(r) {
			ok = false
		}
		if len(text)+utf8.RuneLen(r) > MaxUUID {
			return string(text), false
		}
		text = utf8.AppendRune(text, r)
		raw = raw[size:]
	}
	return string(text), ok
}

// isPlainASCII reports whether a string has no escapes and is printable.
func isPlainASCII(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// isEscapedFFFD tells U+FFFD written as an escape from half a surrogate pair.
func isEscapedFFFD(raw []byte) bool { return hex4(raw[2:6]) == utf8.RuneError }

func isControl(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 }
