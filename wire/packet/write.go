package packet

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Commands (docs/protocol.md, section 2).
const (
	CommandAck         = 1
	CommandQuery       = 2
	CommandCustomerAck = 3
	CommandWaitressAck = 4
	CommandPing        = 5
	CommandRecall      = 6
	CommandError       = 7
)

// AppendAck appends the ack of a stored message:
// {"type":1,"command":1,"uuid":U}
func AppendAck(dst []byte, uuid string) []byte {
	return append(appendHead(dst, CommandAck, uuid), '}')
}

// AppendPong appends the answer to a ping: {"type":1,"command":5,"uuid":U}
func AppendPong(dst []byte, uuid string) []byte {
	return append(appendHead(dst, CommandPing, uuid), '}')
}

// AppendRecall appends what members hear of a recall, which is also what is
// left of the message in the store: {"type":1,"command":6,"uuid":U}
func AppendRecall(dst []byte, uuid string) []byte {
	return append(appendHead(dst, CommandRecall, uuid), '}')
}

// AppendError appends a refusal; code is as in HTTP, uuid that of the refused
// packet, msg for the client to show:
// {"type":1,"command":7,"uuid":U,"body":{"data":{"code":C,"msg":"why"}}}
func AppendError(dst []byte, uuid string, code int, msg string) []byte {
	dst = appendHead(dst, CommandError, uuid)
	dst = append(dst, `,"body":{"data":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"msg":`...)
	dst = appendString(dst, msg)
	return append(dst, `}}}`...)
}

// AppendTooMuch appends the refusal of a packet that came too soon, with code 429;
// after is when it may come again, milliseconds:
// {"type":1,"command":7,"uuid":U,"body":{"data":{"code":429,"msg":"why","retryAfter":T}}}
func AppendTooMuch(dst []byte, uuid, msg string, after int64) []byte {
	dst = AppendError(dst, uuid, 429, msg)
	dst = append(dst[:len(dst)-len(`}}}`)], `,"retryAfter":`...)
	dst = strconv.AppendInt(dst, after, 10)
	return append(dst, `}}}`...)
}

// AppendHistory appends the answer to a query:
// {"type":1,"command":2,"uuid":Q,"body":{"data":{"position":P,"data":["<packet text>", ...]}}}
func AppendHistory(dst []byte, uuid string, position int, texts []string) []byte {
	dst = appendHead(dst, CommandQuery, uuid)
	dst = append(dst, `,"body":{"data":{"position":`...)
	dst = strconv.AppendInt(dst, int64(position), 10)
	dst = append(dst, `,"data":[`...)
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, text)
	}
	return append(dst, `]}}}`...)
}

const tombstoneHead = `{"type":1,"command":6,"uuid":`

// Tombstone is what stands in the store in place of a recalled message.
func Tombstone(uuid string) []byte { return AppendRecall(nil, uuid) }

// ParseTombstone returns the uuid if text is, byte for byte, what Tombstone
// writes. Nothing else that is stored can be: it is not a data packet.
func ParseTombstone(text string) (uuid string, ok bool) {
	if !strings.HasPrefix(text, tombstoneHead) {
		return "", false
	}
	s := scanner{b: []byte(text), i: len(tombstoneHead)}
	q, ok := s.str()
	if !ok || !s.next('}') || s.i != len(text) {
		return "", false
	}
	uuid = string(q.raw)
	if q.escaped {
		uuid = string(unescape(nil, q.raw, len(q.raw)))
	}
	return uuid, string(Tombstone(uuid)) == text
}

func appendHead(dst []byte, command int64, uuid string) []byte {
	dst = append(dst, `{"type":1,"command":`...)
	dst = strconv.AppendInt(dst, command, 10)
	dst = append(dst, `,"uuid":`...)
	return appendString(dst, uuid)
}

// appendString appends s as a JSON string. Only what must be escaped is;
// invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
