package ws

import (
	"encoding/binary"
	"slices"
)

// Opcode is the type of a frame (RFC 6455, section 5.2).
type Opcode byte

// The opcodes.
const (
	OpText   Opcode = 0x1
	OpBinary Opcode = 0x2
	OpClose  Opcode = 0x8
	OpPing   Opcode = 0x9
	OpPong   Opcode = 0xa
)

const (
	finalBit = 0x80
	// The longest header of an unmasked frame.
	maxHeader = 10
	// The longest payload of a control frame.
	maxControl = 125
)

// Frame is one complete, unfragmented frame as a server sends it. It is
// prepared once and shared by all who receive it. The zero Frame is none.
type Frame struct{ raw []byte }

// Raw returns a Frame of bytes that are sent as they are: to a peer that speaks another
// protocol than WebSocket. They must not be changed afterwards.
func Raw(b []byte) Frame { return Frame{raw: b} }

// IsZero reports whether f is no frame.
func (f Frame) IsZero() bool { return len(f.raw) == 0 }

// Text returns a text frame with a copy of payload.
func Text(payload []byte) Frame { return Seal(OpText, append(Reserve(len(payload)), payload...)) }

// Binary returns a binary frame with a copy of payload.
func Binary(payload []byte) Frame { return Seal(OpBinary, append(Reserve(len(payload)), payload...)) }

// Ping returns a ping without a payload.
func Ping() Frame { return Seal(OpPing, Reserve(0)) }

func pong(payload string) Frame { return Seal(OpPong, append(Reserve(len(payload)), payload...)) }

func closeFrame(code int, reason string) Frame {
	if code == codeNone {
		return Seal(OpClose, Reserve(0))
	}
	b := binary.BigEndian.AppendUint16(Reserve(maxControl), uint16(code))
	return Seal(OpClose, append(b, reason[:min(len(reason), maxControl-2)]...))
}

// Reserve returns a buffer to which a payload of about n bytes is appended
// before Seal makes a frame of it, so that the payload is not copied.
func Reserve(n int) []byte { return make([]byte, maxHeader, maxHeader+n) }

// Seal makes a frame of a buffer that Reserve returned. The buffer must not be
// used afterwards.
func Seal(op Opcode, b []byte) Frame {
	n := len(b) - maxHeader
	var start int
	switch {
	case n < 126:
		start = maxHeader - 2
		b[start+1] = byte(n)
	case n < 1<<16:
		start = maxHeader - 4
		b[start+1] = 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	default:
		start = 0
		b[start+1] = 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(n))
	}
	b[start] = finalBit | byte(op)
	return Frame{raw: slices.Clip(b[start:])}
}

// Size is the frame's length on the wire, in bytes.
func (f Frame) Size() int { return len(f.raw) }

// Opcode is the frame's type.
func (f Frame) Opcode() Opcode { return Opcode(f.raw[0] &^ finalBit) }

// Payload is what the frame carries. It is shared and must not be changed.
func (f Frame) Payload() []byte {
	switch f.raw[1] {
	case 127:
		return f.raw[10:]
	case 126:
		return f.raw[4:]
	default:
		return f.raw[2:]
	}
}
