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
//	"M" epoch(16) first(16) prev(4) packet...
//	"C" epoch(16) number(16) prev(4) change
//
// with packets of the form
//
//	kind(1) size(1) length(4) entry(size) bytes(length)
//
// and a change as {G}:c keeps it, see ParseChange. Epochs are hexadecimal digits, first
// and number decimal ones, as Lua writes them; the rest is binary, big endian. The
// packets of messages are numbered from first on, with their Entry in {G}:l. All of them
// have the same link, so it is also the predecessor's of all but the first.
// Packets that are not stored come between them, or alone: then epoch and
// first are 0. Their entry has no link and no time.
const (
	payloadMessages = 'M'
	payloadChange   = 'C'

	headSize = 1 + 16 + NumberWidth + 4
	// packetHeadSize is the size of a packet's head without its entry.
	packetHeadSize = 1 + 1 + 4
	// MaxPacketHeadSize is the most that AppendPacketHead appends.
	MaxPacketHeadSize = packetHeadSize + MaxEntrySize
	// NumberWidth is how many digits a number has in payloads.
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
func AppendPacketHead(dst []byte, kind stream.Kind, link string, e *Entry, length int) []byte {
	from := len(dst)
	dst = append(dst, byte(kind), 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(length))
	dst = AppendEntry(dst, link, e)
	dst[from+1] = byte(len(dst) - from - packetHeadSize)
	return dst
}

// DecodePayload returns the events of a payload. They refer to b.
func DecodePayload(b []byte) (stream.Epoch, []stream.Event, error) {
	if len(b) < headSize {
		return 0, nil, errPayload
	}
	epoch, err := ParseEpoch(string(b[1:17]))
	if err != nil {
		return 0, nil, err
	}
	number, err := parseNumber(string(b[17:33]))
	if err != nil {
		return 0, nil, err
	}
	prev := stream.Link(binary.BigEndian.Uint32(b[33:]))
	var events []stream.Event
	switch rest := b[headSize:]; b[0] {
	case payloadMessages:
		events, err = decodePackets(rest, epoch, number, prev)
	case payloadChange:
		events = make([]stream.Event, 1)
		events[0], err = ParseChange(rest, number)
		events[0].Prev = prev
	default:
		err = errPayload
	}
	if err != nil {
		return 0, nil, err
	}
	return epoch, events, nil
}

func decodePackets(b []byte, epoch stream.Epoch, seq uint64, prev stream.Link) ([]stream.Event, error) {
	events := make([]stream.Event, 0, countPackets(b))
	for len(b) > 0 {
		end := packetEnd(b)
		if end > uint64(len(b)) {
			return nil, errPayload
		}
		head := packetHeadSize + int(b[1])
		entry := ParseEntry(b[packetHeadSize:head])
		e := stream.Event{Kind: stream.Kind(b[0]), Origin: entry.Origin, By: entry.By, Payload: b[head:end:end]}
		switch {
		case e.Kind == stream.Message && epoch != 0 && seq != 0:
			e.Seq, e.Prev, e.Link, e.At = seq, prev, entry.Link, entry.At
			seq, prev = seq+1, entry.Link
		case e.Kind != stream.Text && e.Kind != stream.Binary:
			return nil, errPayload
		}
		events, b = append(events, e), b[end:]
	}
	return events, nil
}

// packetEnd returns where the packet ends with which b begins. It is beyond the end of b
// if the packet is cut off.
func packetEnd(b []byte) uint64 {
	if len(b) < packetHeadSize {
		return packetHeadSize
	}
	return packetHeadSize + uint64(b[1]) + uint64(binary.BigEndian.Uint32(b[2:]))
}

// countPackets counts the packets that begin in b, as far as it is well formed.
func countPackets(b []byte) (n int) {
	for len(b) >= packetHeadSize {
		n++
		b = b[min(packetEnd(b), uint64(len(b))):]
	}
	return n
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

func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: number %q", errPayload, s)
	}
	return n, nil
}
