package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

const (
	handshake = 6 * time.Second
	// A message without an answer is sent again after that long.
	resendAfter = 8 * time.Second
	// How many messages of a member may be without an answer.
	window = 4
	// A publisher looks at its messages that often.
	tickEvery = 20 * time.Millisecond
	// Of a hundred refused messages, how many are not sent again.
	givesUp = 10
)

// member is in a room over WebSocket and comes back whenever the connection ends.
type member struct {
	seat
	// Mean time between messages; 0: it only listens.
	every time.Duration
	// Mean time between low-level packets; 0: none.
	lowEvery time.Duration
	// Mean time after which it leaves and comes back; 0: it does not leave.
	stays time.Duration

	// The last message of the stream, to resume from, and all it has seen.
	last string
	seen map[string]bool
	// What it sent and got no answer to.
	pending map[string]*sending
	next    time.Time
	nextLow time.Time
	// How often it has asked for history, and when it does so again.
	asked   int
	nextAsk time.Time
	goal
}

func (m *member) goals() []roomGoal { return []roomGoal{{m.room, &m.goal}} }

func newMember(s seat) *member {
	return &member{seat: s, seen: make(map[string]bool), pending: make(map[string]*sending)}
}

// goal is the last message that a reader waits for.
type goal struct {
	mu     sync.Mutex
	marker string
	done   bool
}

// awaits sets the last message of all.
func (g *goal) awaits(marker string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.marker = marker
}

// saw notes a message.
func (g *goal) saw(uuid string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = g.done || g.marker != "" && uuid == g.marker
}

// finished reports whether the last message has been seen.
func (g *goal) finished() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}

// sending is a message on its way.
type sending struct {
	*check.Message
	// When to send it (again).
	due time.Time
}

func number(n int) string { return strconv.Itoa(n) }

// run lives until ctx ends.
func (m *member) run(ctx context.Context) {
	edge := m.rng.IntN(len(m.edges))
	for ctx.Err() == nil {
		if s := m.dial(ctx, m.edges[edge]); s != nil {
			m.serve(ctx, s)
		}
		edge = (edge + 1) % len(m.edges)
		sleep(ctx, time.Duration(20+m.rng.IntN(200))*time.Millisecond)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// within asks every 100 ms until ask returns nil, time d is over or ctx ends, and returns
// the last error.
func within(ctx context.Context, d time.Duration, ask func() error) (err error) {
	for deadline := time.Now().Add(d); time.Now().Before(deadline) && ctx.Err() == nil; sleep(ctx, 100*time.Millisecond) {
		if err = ask(); err == nil {
			return nil
		}
	}
	return err
}

// session is one connection of a member.
type session struct {
	*wire
	ws *websocket.Conn
	// Closed when the reader has ended.
	over chan struct{}
	// Queries that have no answer.
	queries queries

	inbox sync.Mutex
	got   []check.Event
}

// dial returns nil when there is no connection to be had.
func (m *member) dial(ctx context.Context, edge string) *session {
	path := m.room.name
	if m.last != "" {
		path += "?after=" + m.last
	}
	w := m.room.dialed(check.WebSocket, m.name, edge, m.last)
	dialer := &websocket.Dialer{HandshakeTimeout: handshake, ReadBufferSize: 2048, WriteBufferSize: 1024}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+edge+path, nil)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	m.room.opened(w)
	s := &session{wire: w, ws: conn, over: make(chan struct{})}
	go s.read()
	return s
}

// read records every packet until the connection ends.
func (s *session) read() {
	defer close(s.over)
	for {
		_, data, err := s.ws.ReadMessage()
		if err != nil {
			code := 0
			var end *websocket.CloseError
			if errors.As(err, &end) && end.Code != websocket.CloseAbnormalClosure {
				code = end.Code
			}
			s.ended(code)
			return
		}
		e := parse(string(data))
		e.At = s.room.now()
		if isQuery(e.UUID) {
			s.answer(e, data)
			continue
		}
		if e.Kind == check.Got {
			e.Text = s.room.text(e.UUID, e.Text)
		}
		s.note(e)
		s.inbox.Lock()
		s.got = append(s.got, e)
		s.inbox.Unlock()
	}
}

// take returns the events since the last call.
func (s *session) take() []check.Event {
	s.inbox.Lock()
	defer s.inbox.Unlock()
	got := s.got
	s.got = nil
	return got
}

// serve does what the member does while it is connected.
func (m *member) serve(ctx context.Context, s *session) {
	defer func() {
		_ = s.ws.Close()
		<-s.over
		m.hear(s.take())
	}()
	for _, p := range m.pending {
		p.due = time.Now()
	}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var leave <-chan time.Time
	if m.stays > 0 {
		leave = time.After(m.about(m.stays))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.over:
			return
		case <-leave:
			if m.ending() {
				continue
			}
			m.leave(s)
			return
		case <-tick.C:
		}
		m.hear(s.take())
		if !m.speak(s) {
			return
		}
	}
}

// leave goes in good order.
func (m *member) leave(s *session) {
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	select {
	case <-s.over:
	case <-time.After(time.Second):
	}
	m.hear(s.take())
	if m.rng.IntN(4) == 0 {
		m.last = "" // it does not want to resume
	}
}

// hear handles the events since the last call.
func (m *member) hear(events []check.Event) {
	for _, e := range events {
		switch e.Kind {
		case check.Got, check.Ack:
			m.advance(e)
		case check.Refused:
			m.refused(e)
		default:
		}
	}
}

// advance remembers where to resume from. The ack of a message that was seen before
// comes later than the message: it is no place to resume from.
func (m *member) advance(e check.Event) {
	p := m.pending[e.UUID]
	again := m.seen[e.UUID] || p != nil && e.Kind == check.Ack && len(p.Sends) > 1
	m.seen[e.UUID] = true
	if !again || e.Kind == check.Got {
		m.last = e.UUID
	}
	if e.Kind == check.Ack && p != nil {
		delete(m.pending, e.UUID)
		m.room.acked(e.UUID)
	}
	m.saw(e.UUID)
}

func (m *member) refused(e check.Event) {
	if e.UUID == "" {
		if e.Code == http.StatusGone && m.rng.IntN(2) == 0 && m.every == 0 {
			m.last = "" // it reads the history again and starts over
		}
		return
	}
	p := m.pending[e.UUID]
	if p == nil {
		return
	}
	if e.Code == http.StatusServiceUnavailable && len(p.Sends) == 1 && m.rng.IntN(100) < givesUp {
		delete(m.pending, e.UUID) // it is certainly not stored
		return
	}
	p.due = time.Now().Add(time.Duration(50+m.rng.IntN(200)) * time.Millisecond)
}

// speak sends the packets that are due. It returns false when the connection is over.
func (m *member) speak(s *session) bool {
	now := time.Now()
	if m.every > 0 && !m.ending() && len(m.pending) < window && now.After(m.next) {
		msg := m.room.compose(m.name)
		m.pending[msg.UUID] = &sending{Message: msg, due: now}
		m.next = now.Add(m.every/2 + time.Duration(m.rng.Int64N(int64(m.every)))) // steady, so that a pause is a fault's
	}
	if m.stays > 0 && !m.ending() && now.After(m.nextAsk) {
		m.nextAsk = now.Add(m.about(askEvery))
		if !s.write(m.ask(s)) {
			return false
		}
	}
	for _, p := range m.pending {
		if now.Before(p.due) {
			continue
		}
		p.due = now.Add(resendAfter)
		m.room.sends(p.Message, s.conn)
		if !s.write(p.Text) {
			return false
		}
	}
	if m.lowEvery > 0 && !m.ending() && now.After(m.nextLow) {
		m.nextLow = now.Add(m.about(m.lowEvery))
		return s.write(fmt.Sprintf("%s%s %s %d", lowPrefix, m.room.name, m.name, m.rng.Int64()))
	}
	return true
}

func (s *session) write(text string) bool {
	_ = s.ws.SetWriteDeadline(time.Now().Add(resendAfter))
	return s.ws.WriteMessage(websocket.TextMessage, []byte(text)) == nil
}
