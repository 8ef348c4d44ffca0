package packet

import (
	"strconv"
	"strings"
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
	dst = AppendString(dst, msg)
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
// {"type":1,"command":2,"uuid":Q,"body":{"data":{"position":P,"data":["<packet text>", ...]}}},
// and "next":N after data unless next is nil.
func AppendHistory(dst []byte, uuid string, position int, texts []string, next *int32) []byte {
	dst = appendHead(dst, CommandQuery, uuid)
	dst = append(dst, `,"body":{"data":{"position":`...)
	dst = strconv.AppendInt(dst, int64(position), 10)
	dst = append(dst, `,"data":[`...)
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, text)
	}
	dst = append(dst, ']')
	if next != nil {
		dst = append(dst, `,"next":`...)
		dst = strconv.AppendInt(dst, int64(*next), 10)
	}
	return append(dst, `}}}`...)
}

const tombstoneHead = `{"type":1,"command":6,"uuid":`

// Tombstone returns what replaces a recalled message in the store.
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
	return AppendString(dst, uuid)
}
