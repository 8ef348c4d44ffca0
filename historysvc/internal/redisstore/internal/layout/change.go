package layout

import (
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// An entry of {G}:c is a change of a message:
//
//	link(4) kind(1) place(7) target(7) at(6) size(1) name(size) size(1) uuid(size) ...
//
// place is the number of the newest message when the change was made, target that of the
// message that it changes. at is Unix milliseconds. The name of its author is
// key(1) name, as in an Entry, or empty. What follows the uuid belongs to the kind; a recall has
// nothing there. Numbers are big endian.
const (
	// RecallKind is the kind of a recall. 2 will be an edit.
	RecallKind = 1

	kindEnd   = linkEnd + 1
	placeEnd  = kindEnd + 7
	targetEnd = placeEnd + 7
	atEnd     = targetEnd + timeSize
)

// ChangeParts returns the bytes of a change before its place, and those after its target:
// recall.lua puts these two between them.
func ChangeParts(link string, kind byte, at int64, by stream.Author, uuid string) (front, back string) {
	b := make([]byte, timeSize, timeSize+1+1+stream.MaxAuthorName+1+len(uuid))
	putTime(b, at)
	b = append(b, 0)
	b = appendName(b, by)
	b[timeSize] = byte(len(b) - timeSize - 1)
	b = append(append(b, byte(len(uuid))), uuid...)
	return link + string([]byte{kind}), string(b)
}

// ParseChange reads an entry of the list of changes. changes is the change's own number.
func ParseChange[B bytestring](b B, changes uint64) (stream.Event, error) {
	if len(b) < atEnd || b[linkEnd] != RecallKind {
		return stream.Event{}, errPayload
	}
	name, rest, ok := cutSized(b[atEnd:])
	if !ok {
		return stream.Event{}, errPayload
	}
	uuid, rest, ok := cutSized(rest)
	if !ok || len(rest) > 0 {
		return stream.Event{}, errPayload
	}
	return stream.Event{
		Kind:    stream.Recall,
		Seq:     number(b[kindEnd:placeEnd]),
		Changes: changes,
		Link:    stream.Link(number(b[:linkEnd])),
		Target:  number(b[placeEnd:targetEnd]),
		UUID:    string(uuid),
		At:      int64(number(b[targetEnd:atEnd])),
		By:      parseName(name),
	}, nil
}

// cutSized takes bytes off the front of b whose number is in the first one.
func cutSized[B bytestring](b B) (cut, rest B, ok bool) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return cut, rest, false
	}
	end := 1 + int(b[0])
	return b[1:end], b[end:], true
}
