package hooks

import (
	"crypto/rand"
	"time"
)

// Packet is what is published, as webhooks see it.
type Packet struct {
	Group string `json:"group"`
	// Whose credential it is: the subject of the token, or the name of the API key; "" if
	// that is unknown.
	User string `json:"user,omitempty"`
	// The author: a user, or else an API key. It is not User if a backend acts for a user.
	By  string `json:"by,omitempty"`
	Key string `json:"key,omitempty"`
	// "websocket", "http" or "grpc".
	Source string `json:"source"`
	// "data" packets are stored; "text" and "binary" ones only broadcast.
	Kind string `json:"kind"`
	// Of a data packet that has one.
	UUID string `json:"uuid,omitempty"`
	// The packet: as text, or, if it is not valid UTF-8, in base64.
	Text   string `json:"packet,omitempty"`
	Base64 []byte `json:"packet_base64,omitempty"`
	// Once a data packet is stored: when it was, Unix milliseconds.
	At int64 `json:"at,omitempty"`
}

// size is about what p occupies, in bytes.
func (p *Packet) size() int {
	return len(p.Group) + len(p.User) + len(p.By) + len(p.Key) + len(p.UUID) + len(p.Text) + len(p.Base64) + 128
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
