package hooks

import (
	"unicode/utf8"

	"github.com/gotapi/gotapi-ws/wire/packet"
	"github.com/gotapi/gotapi-ws/wire/stream"
)

// Sources of packets.
const (
	WebSocket = "websocket"
	HTTP      = "http"
	GRPC      = "grpc"
)

var kindNames = map[stream.Kind]string{stream.Message: "data", stream.Text: "text", stream.Binary: "binary"}

// Caller is who publishes a packet.
type Caller struct {
	// The name of the credential.
	User string
	By   stream.Author
}

// NewPacket describes what is published.
func NewPacket(group string, from Caller, source string, kind stream.Kind, uuid string, body []byte) *Packet {
	p := &Packet{Group: group, User: from.User, Source: source, Kind: kindNames[kind], UUID: uuid}
	p.By, p.Key = from.By.Names()
	p.setBody(body)
	return p
}

func (p *Packet) setBody(body []byte) {
	p.Text, p.Base64 = "", nil
	if utf8.Valid(body) {
		p.Text = string(body)
	} else {
		p.Base64 = body
	}
}

// Rewrite is what is published in the place of a packet.
type Rewrite struct {
	Kind stream.Kind
	Body []byte
}

// rewrite replaces the packet by text. ok is false if that is not the same kind of
// packet: a data packet stays one, and keeps its uuid; a packet that is not stored
// does not become one that only the server may send.
func (p *Packet) rewrite(text string, maxBytes int) (r *Rewrite, ok bool) {
	body := []byte(text)
	if len(body) > maxBytes {
		return nil, false
	}
	c := packet.Classify(body)
	kind, uuid, ok := c.Published(true)
	wasStored, isStored := p.Kind == kindNames[stream.Message], kind == stream.Message
	if !ok || wasStored != isStored || uuid != p.UUID {
		return nil, false
	}
	p.Kind = kindNames[kind]
	p.setBody(body)
	return &Rewrite{Kind: kind, Body: body}, true
}
