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

// NewPacket describes what is published.
func NewPacket(group, user, source string, kind stream.Kind, uuid string, body []byte) *Packet {
	p := &Packet{Group: group, User: user, Source: source, Kind: kindNames[kind], UUID: uuid}
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

// Rewrite puts the text of a verdict in the place of the packet's, and returns its
// bytes and what they are published as. ok is false if the text is not the same
// kind of packet: a data packet stays one, and keeps its uuid; what is not stored
// does not become a packet that the server alone may send.
func (p *Packet) Rewrite(text string, maxBytes int) (body []byte, kind stream.Kind, ok bool) {
	body = []byte(text)
	if len(body) > maxBytes {
		return nil, 0, false
	}
	c := packet.Classify(body)
	kind, ok = stream.Text, c.Kind == packet.Low || c.Kind == packet.Receipt
	if p.Kind == kindNames[stream.Message] {
		kind, ok = stream.Message, c.Kind == packet.Data && c.UUID == p.UUID
	}
	if ok {
		p.Kind = kindNames[kind]
		p.setBody(body)
	}
	return body, kind, ok
}
