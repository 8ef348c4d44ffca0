package client

import (
	"encoding/json"
	"fmt"
)

// Data writes a data packet.
func Data(uuid, text string) string {
	return fmt.Sprintf(`{"type":2,"uuid":%s,"body":{"data":%s}}`, quote(uuid), quote(text))
}

// Ack is what the sender of a data packet gets.
func Ack(uuid string) string { return command(1, uuid) }

// Pong is the answer to a ping.
func Pong(uuid string) string { return command(5, uuid) }

// Recall is the packet of a recall that members get.
func Recall(uuid string) string { return command(6, uuid) }

func command(n int, uuid string) string {
	return fmt.Sprintf(`{"type":1,"command":%d,"uuid":%s}`, n, quote(uuid))
}

// quote writes a JSON string that escapes only what must be.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be marshaled
	}
	return string(b)
}

// Parsed is a packet of the server's.
type Parsed struct {
	Type    int
	Command int
	UUID    string
	Body    struct {
		Data json.RawMessage
	}
}

// Parse reads a packet, or ends the test.
func Parse(tb TB, packet string) Parsed {
	tb.Helper()
	var p Parsed
	if err := json.Unmarshal([]byte(packet), &p); err != nil {
		tb.Fatalf("packet %.200q: %v", packet, err)
	}
	return p
}

// Refusal takes the next message and expects command 7; it returns its uuid and code.
func (m *Member) Refusal() (uuid string, code int) {
	m.tb.Helper()
	msg := m.Next()
	p := Parse(m.tb, msg.Data)
	var why struct {
		Code int
		Msg  string
	}
	if p.Type != 1 || p.Command != 7 || json.Unmarshal(p.Body.Data, &why) != nil || why.Msg == "" {
		m.tb.Fatalf("got %v, want an error (command 7)", msg)
	}
	return p.UUID, why.Code
}

// Answer takes the next message and expects the answer to a query; it returns
// its position and texts.
func (m *Member) Answer(uuid string) (position int, texts []string) {
	m.tb.Helper()
	msg := m.Next()
	p := Parse(m.tb, msg.Data)
	var page struct {
		Position int
		Data     []string
	}
	if p.Type != 1 || p.Command != 2 || p.UUID != uuid || json.Unmarshal(p.Body.Data, &page) != nil || page.Data == nil {
		m.tb.Fatalf("got %v, want the answer (command 2) to query %q", msg, uuid)
	}
	return page.Position, page.Data
}
