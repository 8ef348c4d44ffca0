package layout

import (
	"encoding/binary"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Entry is what {G}:l keeps of a message, in the place that the message has in G:
//
//	link(4) edge(8) id(8) at(6) [author(8) [key(1) name]]
//
// Each part is there only if something after it is, or it is not zero. at is Unix
// milliseconds; key is 1 if the name is that of an API key, else 0.
type Entry struct {
	Link   stream.Link
	Origin stream.Origin
	// Unix milliseconds; 0 if that is not known.
	At     int64
	Author history.Author
	By     stream.Author
}

// Where the parts of an entry end.
const (
	linkEnd   = 4
	originEnd = linkEnd + 16
	timeEnd   = originEnd + timeSize
	authorEnd = timeEnd + 8

	timeSize = 6
	// MaxEntrySize is the size of the longest entry.
	MaxEntrySize = authorEnd + 1 + stream.MaxAuthorName
)

// AppendEntry appends e with a link as Redis keeps it, "" for 0; e.Link is not used. A name
// that is not Valid is left out.
func AppendEntry(dst []byte, link string, e *Entry) []byte {
	var b [authorEnd]byte
	copy(b[:linkEnd], link)
	putOrigin(b[linkEnd:], e.Origin)
	putTime(b[originEnd:], e.At)
	copy(b[timeEnd:], e.Author[:])
	if e.Author == (history.Author{}) && !e.By.Valid() {
		return append(dst, b[:timeEnd]...)
	}
	return appendName(append(dst, b[:]...), e.By)
}

// bytestring is what entries are read from: strings of Redis, and parts of payloads.
type bytestring interface{ string | []byte }

// ParseEntry reads an entry. What is not there, as of messages from before this service,
// is zero.
func ParseEntry[B bytestring](b B) Entry {
	var e Entry
	if len(b) >= linkEnd {
		e.Link = stream.Link(number(b[:linkEnd]))
	}
	if len(b) >= originEnd {
		e.Origin = stream.Origin{Edge: number(b[linkEnd : linkEnd+8]), ID: number(b[linkEnd+8 : originEnd])}
	}
	if len(b) >= timeEnd {
		e.At = int64(number(b[originEnd:timeEnd]))
	}
	if len(b) >= authorEnd {
		copy(e.Author[:], b[timeEnd:authorEnd])
		e.By = parseName(b[authorEnd:])
	}
	return e
}

// appendName appends the bytes of a name: key(1) name, or none.
func appendName(dst []byte, a stream.Author) []byte {
	if !a.Valid() {
		return dst
	}
	key := byte(0)
	if a.Key {
		key = 1
	}
	return append(append(dst, key), a.Name...)
}

// parseName returns the zero Author for what is not the bytes of a name.
func parseName[B bytestring](b B) stream.Author {
	if len(b) == 0 {
		return stream.Author{}
	}
	a := stream.Author{Name: string(b[1:]), Key: b[0] == 1}
	if !a.Valid() {
		return stream.Author{}
	}
	return a
}

func putTime(b []byte, at int64) {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], uint64(at))
	copy(b, all[8-timeSize:])
}

// number reads bytes, big endian.
func number[B bytestring](b B) (n uint64) {
	for i := range len(b) {
		n = n<<8 | uint64(b[i])
	}
	return n
}
