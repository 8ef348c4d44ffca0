package layout

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/gotapi/gotapi-ws/historysvc/internal/history"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// A payload of the bus is one of
//
//	"M" epoch(16) first(16) prev(4) link(4) packet...
//	"R" epoch(16) head(16) target(16) recalls(16) prev(4) link(4) uuid
//
// with packets of the form
//
//	link(4) edge(8) id(8) kind(1) length(4) bytes
//
// whose first 20 bytes are the message's entry in the list of links.
// Epochs are hexadecimal digits and numbers decimal ones, as Lua writes them;
// the rest is binary, big endian. Messages are numbered from first on. All
// carry link, and for all but the first it is also their predecessor's link.
// Packets that are not stored come between them, or alone: then epoch and
// first are 0.
const (
	payloadMessages = 'M'
	payloadRecall   = 'R'

	headSize   = 1 + 16 + 16 + 4 + 4
	recallSize = 1 + 16 + 3*16 + 4 + 4
	// PacketHeadSize is what AppendPacketHead appends.
	PacketHeadSize = 4 + 16 + 1 + 4
	// NumberWidth is how many digits a number has in payloads and entries.
	NumberWidth = 16
)

var errPayload = fmt.Errorf("%w: malformed", history.ErrWrongType)

// BroadcastHead begins a payload without stored packets.
var BroadcastHead = func() []byte {
	b := make([]byte, headSize)
	for i := range b[:1+2*NumberWidth] {
		b[i] = '0'
	}
	b[0] = payloadMessages
	return b
}()

// AppendPacketHead appends the head of a packet of that length. link is that of
// a message as Redis keeps it, "" for other packets.
func AppendPacketHead(dst []byte, link string, kind stream.Kind, o stream.Origin, length int) []byte {
	var b [PacketHeadSize]byte
	copy(b[:4], link)
	putOrigin(b[4:], o)
	b[20] = byte(kind)
	binary.BigEndian.PutUint32(b[21:], uint32(length))
	return append(dst, b[:]...)
}

// DecodePayload returns the events of a payload. They refer to b.
func DecodePayload(b []byte) (stream.Epoch, []stream.Event, error) {
	switch {
	case len(b) >= headSize && b[0] == payloadMessages:
		return decodeMessages(b)
	case len(b) >= recallSize && b[0] == payloadRecall:
		return decodeRecall(b)
	}
	return 0, nil, errPayload
}

func decodeMessages(b []byte) (stream.Epoch, []stream.Event, error) {
	epoch, err := ParseEpoch(string(b[1:17]))
	if err != nil {
		return 0, nil, err
	}
	seq, err := parseNumber(string(b[17:33]))
	if err != nil {
		return 0, nil, err
	}
	prev := stream.Link(binary.BigEndian.Uint32(b[33:]))
	link := stream.Link(binary.BigEndian.Uint32(b[37:]))
	b = b[headSize:]
	events := make([]stream.Event, 0, countPackets(b))
	for len(b) > 0 {
		if len(b) < PacketHeadSize {
			return 0, nil, errPayload
		}
		e := stream.Event{Kind: stream.Kind(b[20]), Origin: parseOrigin(b[4:])}
		end := PacketHeadSize + uint64(binary.BigEndian.Uint32(b[21:]))
		if uint64(len(b)) < end {
			return 0, nil, errPayload
		}
		e.Payload, b = b[PacketHeadSize:end:end], b[end:]
		switch {
		case e.Kind == stream.Message && epoch != 0 && seq != 0:
			e.Seq, e.Prev, e.Link = seq, prev, link
			seq, prev = seq+1, link
		case e.Kind != stream.Text && e.Kind != stream.Binary:
			return 0, nil, errPayload
		}
		events = append(events, e)
	}
	return epoch, events, nil
}

// countPackets counts the packets that begin in b, as far as it is well formed.
func countPackets(b []byte) (n int) {
	for len(b) >= PacketHeadSize {
		n++
		end := PacketHeadSize + uint64(binary.BigEndian.Uint32(b[21:]))
		b = b[min(end, uint64(len(b))):]
	}
	return n
}

func decodeRecall(b []byte) (stream.Epoch, []stream.Event, error) {
	epoch, err := ParseEpoch(string(b[1:17]))
	if err != nil {
		return 0, nil, err
	}
	e := stream.Event{Kind: stream.Recall, UUID: string(b[recallSize:])}
	for i, n := range []*uint64{&e.Seq, &e.Target, &e.Changes} {
		from := 17 + i*NumberWidth
		if *n, err = parseNumber(string(b[from : from+NumberWidth])); err != nil {
			return 0, nil, err
		}
	}
	e.Prev = stream.Link(binary.BigEndian.Uint32(b[recallSize-8:]))
	e.Link = stream.Link(binary.BigEndian.Uint32(b[recallSize-4:]))
	return epoch, []stream.Event{e}, nil
}

// ParseChange reads an entry of the list of changes, which are recalls:
//
//	link(4) head(16) target(16) uuid
//
// number is the change's own.
func ParseChange(s string, number uint64) (stream.Event, error) {
	const size = 4 + 2*NumberWidth
	if len(s) < size {
		return stream.Event{}, errPayload
	}
	e := stream.Event{Kind: stream.Recall, Changes: number, Link: ParseLink(s), UUID: s[size:]}
	var err error
	if e.Seq, err = parseNumber(s[4 : 4+NumberWidth]); err != nil {
		return stream.Event{}, err
	}
	if e.Target, err = parseNumber(s[4+NumberWidth : size]); err != nil {
		return stream.Event{}, err
	}
	return e, nil
}

func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: number %q", errPayload, s)
	}
	return n, nil
}

// ParseEpoch reads an epoch as Redis keeps it.
func ParseEpoch(s string) (stream.Epoch, error) {
	var b [8]byte
	if len(s) != 16 {
		return 0, fmt.Errorf("%w: epoch %q", errPayload, s)
	}
	if _, err := hex.Decode(b[:], []byte(s)); err != nil {
		return 0, fmt.Errorf("%w: epoch %q", errPayload, s)
	}
	return stream.Epoch(binary.BigEndian.Uint64(b[:])), nil
}

// FormatEpoch is the reverse of ParseEpoch.
func FormatEpoch(e stream.Epoch) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(e))
	return hex.EncodeToString(b[:])
}
