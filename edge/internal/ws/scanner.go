package ws

import (
	"encoding/binary"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// smallFragment is the payload below which a frame that does not end its message is
// worth counting: clients that split messages for good reason send larger ones.
const smallFragment = 512

// scanner follows the frames of a stream in front of gorilla. It counts frames that are no
// messages by themselves (pings, pongs, and small fragments), as the limits of messages do
// not. It refuses what RFC 6455 forbids but gorilla accepts, and sees when the peer has
// closed.
type scanner struct {
	// Bytes of payload to skip.
	skip uint64
	// The beginning of a header, and how much of it there is.
	header [14]byte
	n      uint8 // each connection has a scanner
	// What is skipped is a close frame's.
	closing bool
	// A close frame has passed.
	closed bool
}

var (
	errLength    = &CloseError{packet.CloseProtocolError, "length is not minimal"}
	errLengthBit = &CloseError{packet.CloseProtocolError, "length of more than 63 bits"}
	errCloseCode = &CloseError{packet.CloseProtocolError, "close frame with half a code"}
)

// scan returns how many small frames begin in b. If one is forbidden, fault says why,
// and what comes before it is b[:good]. The scanner follows the stream beyond it.
func (s *scanner) scan(b []byte) (small, good int, fault error) {
	good = len(b)
	start := 0 // of the present frame, in b
	for i := 0; i < len(b); {
		if s.skip > 0 {
			n := min(s.skip, uint64(len(b)-i))
			i += int(n)
			s.skip -= n
			s.closed = s.closed || s.closing && s.skip == 0
			continue
		}
		if s.n == 0 {
			start = i
		}
		s.header[s.n] = b[i]
		s.n++
		i++
		if s.n < 2 || s.n < s.size() {
			continue
		}
		if s.isSmall() {
			small++
		}
		if err := s.fault(); err != nil && fault == nil {
			good, fault = start, err
		}
		s.skip, s.n = s.payload(), 0
		s.closing = s.opcode() == OpClose
		s.closed = s.closed || s.closing && s.skip == 0
	}
	return small, good, fault
}

func (s *scanner) opcode() Opcode { return Opcode(s.header[0] & 0x0f) }

// fault returns what is wrong with the header.
func (s *scanner) fault() error {
	n := s.payload()
	switch length := s.header[1] & 0x7f; {
	case n >= 1<<63:
		return errLengthBit
	case length == 126 && n < 126, length == 127 && n < 1<<16:
		return errLength
	case s.opcode() == OpClose && n == 1:
		return errCloseCode
	}
	return nil
}

// size returns the length of the header, of which two bytes are there.
func (s *scanner) size() (n uint8) {
	n = 2
	switch s.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if s.header[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (s *scanner) payload() uint64 {
	switch n := s.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(s.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(s.header[2:])
	default:
		return uint64(n)
	}
}

func (s *scanner) isSmall() bool {
	switch s.opcode() {
	case OpPing, OpPong:
		return true
	case OpClose:
		return false
	default:
		return s.header[0]&finalBit == 0 && s.payload() < smallFragment
	}
}
