package gotapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/gotapi/gotapi-ws/wire/packet"
)

// NewUUID returns a uuid for a message. Later uuids sort later.
func NewUUID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New() // panics only without a source of randomness
	}
	return id.String()
}

// dataPacket is what TextPacket and DataPacket write.
type dataPacket struct {
	Type int    `json:"type"`
	UUID string `json:"uuid"`
	Body any    `json:"body"`
}

// DataPacket returns a data packet. The uuid is one of NewUUID or any printable text of 1 to
// 128 bytes. The body must encode as a JSON object; by convention its member "data" is the
// message. DataPacket refuses text that is not valid UTF-8.
func DataPacket(uuid string, body any) ([]byte, error) {
	text, err := json.Marshal(dataPacket{Type: 2, UUID: uuid, Body: body})
	if err != nil {
		return nil, fmt.Errorf("gotapi: body: %w", err)
	}
	replaced := replacesText(text)
	if raw, ok := body.(json.RawMessage); ok { // the caller may escape as it likes
		replaced = !utf8.Valid(raw) || !utf8.ValidString(uuid)
	}
	if replaced {
		return nil, errNotUTF8
	}
	if p := packet.Classify(text); p.Kind != packet.Data || p.UUID == "" {
		return nil, &Error{Code: http.StatusBadRequest, Msg: "a data packet needs a uuid of 1 to 128 printable bytes, and an object as body"}
	}
	return text, nil
}

// TextPacket returns a data packet with a new uuid and the body {"data":text}. It refuses
// text that is not valid UTF-8.
func TextPacket(text string) (data []byte, uuid string, err error) {
	uuid = NewUUID()
	data, err = DataPacket(uuid, struct {
		Data string `json:"data"`
	}{text})
	return data, uuid, err
}

var errNotUTF8 = &Error{Code: http.StatusBadRequest, Msg: "the packet's text is not valid UTF-8"}

// replacesText reports whether encoding/json has replaced invalid UTF-8 in its output. It
// escapes such a replacement, but copies a U+FFFD of the input.
func replacesText(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(text[i:], []byte(`\ufffd`)) {
			return true
		}
		i++ // an escape has two bytes at least, and the second may be a backslash
	}
	return false
}

// maxRetryAfter is the longest that a server may ask us to wait, milliseconds: an hour.
const maxRetryAfter = 3_600_000

// refusalOf reads the body of command 7.
func refusalOf(body json.RawMessage) *Error {
	var said struct {
		Data struct {
			Code       int
			Msg        string
			RetryAfter float64 // milliseconds
		}
	}
	if json.Unmarshal(body, &said) != nil || said.Data.Code == 0 {
		return &Error{Code: http.StatusInternalServerError, Msg: "malformed refusal"}
	}
	return &Error{Code: said.Data.Code, Msg: said.Data.Msg, RetryAfter: time.Duration(min(max(said.Data.RetryAfter, 0), maxRetryAfter) * float64(time.Millisecond))}
}

// received is one WebSocket message, understood.
type received struct {
	kind    packet.Kind // Data, Receipt or Low; Dropped: one of the server's own commands
	command int         // of the server's own
	uuid    string
	body    json.RawMessage // of the server's own
}

// parse reads a packet of the server. The commands 1, 2, 5, 6 and 7 come only from the
// server itself: it does not relay packets that look like them.
func parse(data []byte) received {
	p := packet.Classify(data)
	r := received{kind: p.Kind, uuid: p.UUID}
	switch p.Kind {
	case packet.Data, packet.Receipt:
		return r
	case packet.Dropped, packet.Ping, packet.Query:
		var own struct {
			Command int
			UUID    string
			Body    json.RawMessage
		}
		if json.Unmarshal(data, &own) != nil {
			return received{kind: packet.Low}
		}
		return received{kind: packet.Dropped, command: own.Command, uuid: own.UUID, body: own.Body}
	default:
		r.kind = packet.Low
		return r
	}
}
