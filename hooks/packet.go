package hooks

import (
	"crypto/rand"
	"time"
)

// Packet is what is published, as webhooks see it.
type Packet struct {
	// The group's name, and that of the user; "" if it is unknown.
	Group string `json:"group"`
	User  string `json:"user,omitempty"`
	// "websocket", "http" or "grpc".
	Source string `json:"source"`
	// "data" packets are stored; "text" and "binary" ones only broadcast.
	Kind string `json:"kind"`
	// Of a data packet that has one.
	UUID string `json:"uuid,omitempty"`
	// The packet: as text, or, if it is not valid UTF-8, in base64.
	Text   string `json:"packet,omitempty"`
	Base64 []byte `json:"packet_base64,omitempty"`
}

// size is about what p occupies, in bytes.
func (p *Packet) size() int {
	return len(p.Group) + len(p.User) + len(p.UUID) + len(p.Text) + len(p.Base64) + 128
}

// event is the body of a request.
type event struct {
	// The same in every try.
	id string
	// "before_publish" or "after_publish".
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"`
	// One for before_publish, several for after_publish.
	Data any `json:"data"`
}

func newEvent(kind string, data any) *event {
	return &event{id: "msg_" + rand.Text(), Type: kind, Time: time.Now().UTC(), Data: data}
}
