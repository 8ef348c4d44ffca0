package header

import (
	"strconv"

	"github.com/gotapi/gotapi-ws/wire/group"
	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Refusal is why a request is refused, or a membership has ended.
type Refusal struct {
	// As a status of HTTP.
	Code int
	Msg  string
	// When to try again, milliseconds; 0: that is not known.
	RetryAfter int64
}

// Stored is what became of a data packet.
type Stored struct {
	Seq uint64
	// When it was stored; 0: that is not known.
	At int64
	// The place after it, if it was a member who has published it; else nil.
	Pos *stream.Position
	// A message with its uuid was stored before, and may be recalled since.
	Duplicate, Recalled bool
}

// Message is a message of a history.
type Message struct {
	Seq uint64
	At  int64
	By  stream.Author
	// The place after it; nil if that is not known.
	Pos    *stream.Position
	Packet string
}

// Hello is what a connection begins with.
type Hello struct {
	Features []string
	// The user of the token; "": there is none.
	User string
	// The connection in logs.
	Session uint32
	// When the credential expires, seconds; 0: never.
	ExpiresIn int64
	// The size of the largest packet, bytes.
	MaxMessage int
	// How many groups the connection may join.
	MaxGroups int
	// Between two pings, seconds.
	Ping int
}

// AppendOK appends the answer of a request that has succeeded: {"re":ID,"code":200}
func AppendOK(dst []byte, id uint64) []byte { return append(appendRe(dst, id, 200), '}') }

// AppendRefusal appends the answer of a request that is refused:
// {"re":ID,"code":C,"msg":"why","retryAfter":T}
func AppendRefusal(dst []byte, id uint64, r Refusal) []byte {
	return append(appendReason(appendRe(dst, id, r.Code), r), '}')
}

// AppendJoined appends the answer of a join: {"re":ID,"code":200,"pos":P,"gap":true}
func AppendJoined(dst []byte, id uint64, g group.Name, pos stream.Position, gap bool) []byte {
	dst = appendPos(appendRe(dst, id, 200), g, pos)
	if gap {
		dst = append(dst, `,"gap":true`...)
	}
	return append(dst, '}')
}

// AppendStored appends the answer of a publish that is stored:
// {"re":ID,"code":200,"seq":S,"at":T,"pos":P,"duplicate":true,"recalled":true}
func AppendStored(dst []byte, id uint64, g group.Name, s *Stored) []byte {
	dst = appendWhen(appendSeq(appendRe(dst, id, 200), s.Seq), s.At)
	if s.Pos != nil {
		dst = appendPos(dst, g, *s.Pos)
	}
	if s.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	if s.Recalled {
		dst = append(dst, `,"recalled":true`...)
	}
	return append(dst, '}')
}

// AppendRenewed appends the answer of a token: {"re":ID,"code":200,"expiresIn":S}, without
// expiresIn if it is 0.
func AppendRenewed(dst []byte, id uint64, expiresIn int64) []byte {
	return append(appendExpiry(appendRe(dst, id, 200), expiresIn), '}')
}

// AppendHistory appends a page of history:
// {"re":ID,"code":200,"messages":[{"seq":S,"at":T,"by":U,"pos":P,"packet":"..."},...],"more":true}
func AppendHistory(dst []byte, id uint64, g group.Name, messages []Message, more bool) []byte {
	dst = append(appendRe(dst, id, 200), `,"messages":[`...)
	for i := range messages {
		m := &messages[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"seq":`...)
		dst = strconv.AppendUint(dst, m.Seq, 10)
		dst = appendBy(appendWhen(dst, m.At), m.By)
		if m.Pos != nil {
			dst = appendPos(dst, g, *m.Pos)
		}
		dst = append(dst, `,"packet":`...)
		dst = append(packet.AppendString(dst, m.Packet), '}')
	}
	dst = append(dst, `],"more":`...)
	return append(strconv.AppendBool(dst, more), '}')
}

// AppendHello appends the event that a connection begins with. ExpiresIn and User are left
// out if there is none.
func AppendHello(dst []byte, h *Hello) []byte {
	dst = append(dst, `{"on":"hello","features":[`...)
	for i, f := range h.Features {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = packet.AppendString(dst, f)
	}
	dst = append(dst, ']')
	if h.User != "" {
		dst = packet.AppendString(append(dst, `,"user":`...), h.User)
	}
	dst = strconv.AppendUint(append(dst, `,"session":`...), uint64(h.Session), 10)
	dst = appendExpiry(dst, h.ExpiresIn)
	dst = strconv.AppendInt(append(dst, `,"maxMessage":`...), int64(h.MaxMessage), 10)
	dst = strconv.AppendInt(append(dst, `,"maxGroups":`...), int64(h.MaxGroups), 10)
	dst = strconv.AppendInt(append(dst, `,"ping":`...), int64(h.Ping), 10)
	return append(dst, '}')
}

// AppendMessage appends a stored message, with its packet. pos is the place after it.
func AppendMessage(dst []byte, g group.Name, e *stream.Event, pos stream.Position) []byte {
	dst = appendBy(appendWhen(appendSeq(appendOn(dst, "message", g), e.Seq), e.At), e.By)
	return appendPayload(append(appendPos(dst, g, pos), '}'), e.Payload)
}

// AppendPacket appends a packet that is not stored.
func AppendPacket(dst []byte, g group.Name, e *stream.Event) []byte {
	return appendPayload(append(appendBy(appendOn(dst, "packet", g), e.By), '}'), e.Payload)
}

// AppendRecalled appends a recall. pos is the place after it.
func AppendRecalled(dst []byte, g group.Name, e *stream.Event, pos stream.Position) []byte {
	dst = appendSeq(appendOn(dst, "recalled", g), e.Target)
	dst = packet.AppendString(append(dst, `,"uuid":`...), e.UUID)
	return append(appendPos(appendBy(appendWhen(dst, e.At), e.By), g, pos), '}')
}

// AppendLive appends that the catching up after a join is complete.
func AppendLive(dst []byte, g group.Name, pos stream.Position) []byte {
	return append(appendPos(appendOn(dst, "live", g), g, pos), '}')
}

// AppendGap appends that events were lost, and that the stream goes on after pos.
func AppendGap(dst []byte, g group.Name, pos stream.Position) []byte {
	return append(appendPos(appendOn(dst, "gap", g), g, pos), '}')
}

// AppendLeft appends that the server has ended a membership.
func AppendLeft(dst []byte, g group.Name, r Refusal) []byte {
	dst = strconv.AppendInt(append(appendOn(dst, "left", g), `,"code":`...), int64(r.Code), 10)
	return append(appendReason(dst, r), '}')
}

// AppendError appends that a message could not be read: {"on":"error","code":C,"msg":"why"}
func AppendError(dst []byte, code int, msg string) []byte {
	dst = append(dst, `{"on":"error","code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	return append(packet.AppendString(append(dst, `,"msg":`...), msg), '}')
}

// MessageSize is about how many bytes an event with such a packet has.
func MessageSize(g group.Name, e *stream.Event) int {
	return 128 + stream.MaxPositionText + len(g) + len(e.By.Name) + len(e.UUID) + len(e.Payload)
}

func appendRe(dst []byte, id uint64, code int) []byte {
	dst = strconv.AppendUint(append(dst, `{"re":`...), id, 10)
	return strconv.AppendInt(append(dst, `,"code":`...), int64(code), 10)
}

func appendOn(dst []byte, on string, g group.Name) []byte {
	dst = append(append(dst, `{"on":"`...), on...)
	return packet.AppendString(append(dst, `","group":`...), string(g))
}

func appendReason(dst []byte, r Refusal) []byte {
	dst = packet.AppendString(append(dst, `,"msg":`...), r.Msg)
	if r.RetryAfter > 0 {
		dst = strconv.AppendInt(append(dst, `,"retryAfter":`...), r.RetryAfter, 10)
	}
	return dst
}

func appendSeq(dst []byte, seq uint64) []byte {
	return strconv.AppendUint(append(dst, `,"seq":`...), seq, 10)
}

// appendWhen appends a time, if it is known.
func appendWhen(dst []byte, at int64) []byte {
	if at == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, `,"at":`...), at, 10)
}

// appendBy appends an author, if there is one: a user and an API key under different keys.
func appendBy(dst []byte, by stream.Author) []byte {
	switch {
	case by.Name == "":
		return dst
	case by.Key:
		dst = append(dst, `,"key":`...)
	default:
		dst = append(dst, `,"by":`...)
	}
	return packet.AppendString(dst, by.Name)
}

func appendPos(dst []byte, g group.Name, pos stream.Position) []byte {
	dst = pos.AppendText(append(dst, `,"pos":"`...), g)
	return append(dst, '"')
}

func appendExpiry(dst []byte, seconds int64) []byte {
	if seconds == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, `,"expiresIn":`...), seconds, 10)
}

func appendPayload(dst, payload []byte) []byte { return append(append(dst, '\n'), payload...) }
