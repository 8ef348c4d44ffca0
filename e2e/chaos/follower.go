package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// follower is what a client knows of a group that it follows by positions, over however many
// connections of whatever kind.
type follower struct {
	goal
	room *room
	name string
	// The newest position; "": it begins with what happens now.
	pos string
	// The record of the present membership, nil: there is none; and of the one before, which it
	// goes on from.
	wire *wire
	prev *check.Conn
}

// message is what a server sends: an answer (Re) or an event (On). It is the header of a
// message of gotapi.v2, the data of a server-sent event, or one of the events of a long poll.
type message struct {
	Re             *int
	On, Group      string
	Code           int
	Seq            uint64
	UUID, Pos      string
	Gap, Duplicate bool
	RetryAfter     int
	Packet         string
}

// parseMessage reads a message of gotapi.v2.
func parseMessage(text string) (m message, ok bool) {
	head, packet, carries := strings.Cut(text, "\n")
	ok = json.Unmarshal([]byte(head), &m) == nil
	if carries {
		m.Packet = packet
	}
	return m, ok
}

// dials returns the record of a membership that is asked for now.
func (f *follower) dials(by *check.Reader, edge string) *wire {
	w := f.room.dialed(by, f.name, edge, "")
	w.conn.Prev = f.prev
	return w
}

// joined begins the membership: its answer has come.
func (f *follower) joined(w *wire, pos string, gap bool, at check.Time) {
	if f.pos == "" {
		w.conn.Prev = nil
	}
	f.room.opened(w)
	f.wire, f.pos = w, pos
	if gap {
		w.note(check.Event{At: at, Kind: check.Gap})
	}
}

// ended ends the membership, if there is one.
func (f *follower) ended(at check.Time) {
	if f.wire == nil {
		return
	}
	f.wire.endedAt(0, at)
	f.prev, f.wire = f.wire.conn, nil
}

// forgets has the next membership begin with what happens then.
func (f *follower) forgets() { f.pos, f.prev = "", nil }

// hears records an event of the group.
func (f *follower) hears(m *message, at check.Time) {
	e := check.Event{At: at, Seq: m.Seq, Pos: m.Pos}
	switch m.On {
	case "message":
		parsed := parse(m.Packet)
		e.Kind, e.UUID, e.Text = parsed.Kind, parsed.UUID, f.room.text(parsed.UUID, parsed.Text)
		if e.Kind != check.Got {
			e.Kind, e.Text = check.Foreign, m.Packet
		}
	case "packet":
		e.Kind, e.Text = check.Low, m.Packet
		if !strings.HasPrefix(m.Packet, lowPrefix) {
			e.Kind = check.Foreign
		}
	case "recalled":
		e.Kind, e.UUID = check.Recalled, m.UUID
	case "gap":
		e.Kind = check.Gap
	case "live":
	default:
		e.Kind, e.Text = check.Foreign, m.On
	}
	if m.Pos != "" {
		f.pos = m.Pos
	}
	if e.Kind != 0 {
		f.wire.note(e)
		f.saw(e.UUID)
	}
}

// answered records the answer to a publish that went out on a membership, which may have
// ended since.
func (f *follower) answered(on *wire, uuid string, m *message, at check.Time) {
	if m.Code != http.StatusOK {
		on.note(check.Event{At: at, Kind: check.Refused, UUID: uuid, Code: m.Code})
		return
	}
	on.note(check.Event{At: at, Kind: check.Ack, UUID: uuid, Seq: m.Seq, Pos: m.Pos, Duplicate: m.Duplicate})
	if m.Pos != "" && on == f.wire {
		f.pos = m.Pos
	}
	f.saw(uuid)
}
