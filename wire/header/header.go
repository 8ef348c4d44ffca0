// Package header reads and writes the headers of gotapi.v2 (docs/protocol-v2.md):
// the one JSON object in front of a message's packet. It is pure: bytes in, request or bytes
// out.
//
// Servers read requests (ParseRequest) and write answers and events (Append...). A message
// is a header, followed by a line feed and the packet's bytes if it carries a packet.
package header

import "bytes"

// Protocol is the WebSocket subprotocol.
const Protocol = "gotapi.v2"

// MaxSize is the size of the largest header of a client, in bytes.
const MaxSize = 4 << 10

// Split returns the header of a message and its packet. carries reports whether the message
// carries one, which may be empty.
func Split(message []byte) (header, packet []byte, carries bool) {
	return bytes.Cut(message, []byte{'\n'})
}
