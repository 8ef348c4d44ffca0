// Package packet says what a WebSocket message or an HTTP body means to the
// server (docs/protocol.md, section 2), and writes the packets that only the
// server sends. It is pure: bytes in, packet or bytes out.
package packet

import "github.com/gotapi/gotapi-ws/wire/stream"

// Kind is what the server does with a packet.
type Kind uint8

// The kinds.
const (
	// Low: broadcast as it is, not stored, not acked.
	Low Kind = iota + 1
	// Data: stored, broadcast, acked.
	Data
	// Ping: command 5, answered to the sender alone.
	Ping
	// Receipt: command 3 or 4, broadcast as it is.
	Receipt
	// Query: command 2, answered to the sender with history.
	Query
	// Dropped: could be read as one of the server's own packets, or is a
	// malformed command. Ignored on a WebSocket, 400 over HTTP.
	Dropped
	// BadUUID: a data packet whose uuid is a string that cannot be one: refused
	// with 400.
	BadUUID
)

// MaxUUID is the length of the longest uuid, in bytes.
const MaxUUID = 128

// Packet is a classified packet.
type Packet struct {
	Kind Kind
	// Of Data, Ping, Receipt and Query; "" when absent or null.
	// Of BadUUID: as it was sent, so that the refusal can name it (cut at MaxUUID).
	UUID string
	// Of Query.
	Query QueryArgs
}

// QueryArgs are the arguments of command 2. At most one of After and Before is set.
type QueryArgs struct {
	Offset, Size int
	// Where the page ends in bytes of texts; 0: the query asked by number only.
	Bytes         int
	After, Before string
}

// Published returns what p is published as, with the uuid of a stored message; ok is
// false if it is not published. text tells whether p came as text.
func (p *Packet) Published(text bool) (kind stream.Kind, uuid string, ok bool) {
	switch {
	case p.Kind == Data:
		return stream.Message, p.UUID, true
	case p.Kind != Low && p.Kind != Receipt:
		return 0, "", false
	case text:
		return stream.Text, "", true
	default:
		return stream.Binary, "", true
	}
}
