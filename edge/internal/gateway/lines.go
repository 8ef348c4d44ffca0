package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

const (
	// contentTypeLines is that of a batch: one JSON object a line.
	contentTypeLines = "application/x-ndjson"
	// A batch has up to maxBatch publishes and maxBatchBytes.
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

// errTooMany means that a batch has more than maxBatch publishes.
var errTooMany = errors.New("more than 1000 publishes in one batch")

// errNoLines means that a body is not what its Content-Type says.
var errNoLines = errors.New(`no line of the body is a JSON object: a batch has one object a line, as in {"group":"/room/1","packet":"hello"}`)

// line is one line of a batch: a packet for one or more groups.
type line struct {
	groups []string
	packet []byte
	// Why the line cannot be read; "": it can.
	wrong string
}

// publishes returns how many results the line has: one for each group, or one if it names
// none.
func (l *line) publishes() int { return max(1, len(l.groups)) }

// parseLines reads a batch. Empty lines have no meaning. The error is about the whole body.
func parseLines(body []byte) (lines []line, err error) {
	publishes, objects := 0, 0
	for text := range bytes.Lines(body) {
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		l, object := parseLine(text)
		if object {
			objects++
		}
		if publishes += l.publishes(); publishes > maxBatch {
			return nil, errTooMany
		}
		lines = append(lines, l)
	}
	if objects == 0 {
		return nil, errNoLines
	}
	return lines, nil
}

// lineKeys are the keys of a line.
var lineKeys = [...]string{"group", "groups", "packet", "packetBase64"}

// parseLine reads one line, as strictly as a packet. Keys that it does not know have no
// meaning. It also reports whether the line is a JSON object.
func parseLine(text []byte) (l line, object bool) {
	var found [len(lineKeys)][]byte
	object = packet.Object(text, func(name, value []byte) {
		i := slices.Index(lineKeys[:], string(name))
		if i < 0 {
			return
		}
		if found[i] != nil {
			l.fail(lineKeys[i] + ": given more than once")
		}
		found[i] = value
	})
	if !object {
		l.fail("the line is not a JSON object")
		return l, false
	}
	l.readGroups(found[0], found[1])
	l.readPacket(found[2], found[3])
	return l, true
}

// fail keeps the first error.
func (l *line) fail(why string) {
	if l.wrong == "" {
		l.wrong = why
	}
}

func (l *line) readGroups(one, several []byte) {
	switch {
	case one != nil && several != nil:
		l.fail("group and groups exclude each other")
	case one != nil:
		l.addGroup("group", one)
	case several != nil:
		var names []json.RawMessage
		if json.Unmarshal(several, &names) != nil || len(names) == 0 {
			l.fail("groups: not an array of names")
		}
		for _, name := range names {
			l.addGroup("groups", name)
		}
	default:
		l.fail("group: missing")
	}
}

func (l *line) addGroup(key string, value []byte) {
	name, ok := packet.Text(value)
	if !ok {
		l.fail(key + ": not a string of valid Unicode")
	}
	l.groups = append(l.groups, name)
}

func (l *line) readPacket(plain, encoded []byte) {
	switch {
	case plain != nil && encoded != nil:
		l.fail("packet and packetBase64 exclude each other")
	case plain != nil:
		text, ok := packet.Text(plain)
		if !ok {
			l.fail("packet: not a string of valid Unicode")
		}
		l.packet = []byte(text)
	case encoded != nil:
		text, ok := packet.Text(encoded)
		decoded, err := base64.StdEncoding.Strict().DecodeString(text)
		if !ok || err != nil {
			l.fail("packetBase64: not base64")
		}
		l.packet = decoded
	default:
		l.fail("packet: missing")
	}
}
