package main

import (
	"sync"
	"time"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
	"github.com/gotapi/gotapi-ws/e2e/internal/client"
)

// room is a group as the workload sees it, and its recording.
type room struct {
	name string
	// When the run began.
	zero time.Time
	// Little is said there.
	quiet bool

	mu      sync.Mutex
	record  *check.Group
	wires   []*wire
	sent    int
	recents []string // acked lately, to be recalled or asked about
}

const keepRecents = 64

func newRoom(name string, zero time.Time, quiet bool) *room {
	return &room{name: name, zero: zero, quiet: quiet, record: &check.Group{
		Name: name, Messages: make(map[string]*check.Message), Recalls: make(map[string]*check.Recall),
	}}
}

func (r *room) now() check.Time { return time.Since(r.zero) }

// compose returns a new message.
func (r *room) compose(prefix string) *check.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent++
	uuid := prefix + "-" + number(r.sent)
	m := &check.Message{UUID: uuid, Text: client.Data(uuid, r.name+" says "+uuid)}
	r.record.Messages[uuid] = m
	return m
}

// sends notes an attempt; the text goes out after it.
func (r *room) sends(m *check.Message, on *check.Conn) (attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Sends = append(m.Sends, check.Send{At: r.now(), Conn: on})
	return len(m.Sends) - 1
}

// answered notes what came back over HTTP.
func (r *room) answered(m *check.Message, attempt, code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Sends[attempt].Code, m.Sends[attempt].Answered = code, r.now()
}

// acked adds a message to those that recent returns.
func (r *room) acked(uuid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recents) == keepRecents {
		r.recents = r.recents[1:]
	}
	r.recents = append(r.recents, uuid)
}

// recent returns a message that was acked recently, "" if there is none; take
// removes it.
func (r *room) recent(n int, take bool) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recents) == 0 {
		return ""
	}
	i := n % len(r.recents)
	uuid := r.recents[i]
	if take {
		r.recents = append(r.recents[:i:i], r.recents[i+1:]...)
	}
	return uuid
}

// text returns a message's text as it was sent, to be shared by all records of it.
func (r *room) text(uuid, got string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.record.Messages[uuid]; m != nil && m.Text == got {
		return m.Text
	}
	return got
}

// keepPage records an answer to a request for history.
func (r *room) keepPage(p *check.Page) {
	p.Answered = r.now()
	for i, text := range p.Texts {
		p.Texts[i] = r.text(parse(text).UUID, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Pages = append(r.record.Pages, p)
}

// dialed begins the record of a connection.
func (r *room) dialed(by *check.Reader, member, addr, after string) *wire {
	return &wire{room: r, conn: &check.Conn{Reader: by, Member: member, Edge: addr, After: after, Dialed: r.now()}}
}

// opened keeps it, now that there is a connection.
func (r *room) opened(w *wire) {
	w.conn.Opened = r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Conns = append(r.record.Conns, w.conn)
	r.wires = append(r.wires, w)
}

// freeze ends the recording and returns it: later events, such as the end of the
// members' connections, are not recorded.
func (r *room) freeze() *check.Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wires {
		w.mu.Lock()
		w.frozen = true
		w.mu.Unlock()
	}
	return r.record
}

// wire is the record of one connection while it is written.
type wire struct {
	room *room

	mu     sync.Mutex
	conn   *check.Conn
	frozen bool
}

// note adds what was received.
func (w *wire) note(e check.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.frozen {
		w.conn.Events = append(w.conn.Events, e)
	}
}

// ended notes the end of the connection.
func (w *wire) ended(code int) { w.endedAt(code, w.room.now()) }

func (w *wire) endedAt(code int, at check.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.frozen {
		w.conn.Closed, w.conn.ClosedAt, w.conn.Code = true, at, code
	}
}
