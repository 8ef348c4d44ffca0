package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gotapi/gotapi-ws/e2e/chaos/check"
)

// multi speaks gotapi.v2: it is in several groups over one connection, publishes there, and
// joins each from its last position when it comes back.
type multi struct {
	seat
	groups []*membership
	lastID int
	// What has no answer on this connection, by id.
	requests map[int]request
}

// membership is what a multi does in one group.
type membership struct {
	follower
	joining bool
	// When it joins, and leaves, next.
	joinAt, leaveAt time.Time
	leaving         bool
	// Mean time between messages.
	every   time.Duration
	pending map[string]*sending
	next    time.Time
}

// request is what was asked.
type request struct {
	do string
	of *membership
	// The record of the membership; of a publish, and its message.
	on   *wire
	uuid string
}

const (
	// Mean time in which a multi leaves a group, or its connection.
	staysIn = 10 * time.Second
	// A join without an answer: the connection is given up.
	joinPatience = 8 * time.Second
)

func newMulti(s seat) *multi {
	m := &multi{seat: s}
	for _, r := range s.rooms {
		m.groups = append(m.groups, &membership{
			follower: follower{room: r, name: s.name}, every: groupsOfOne * paceIn(r, s.busy), pending: make(map[string]*sending),
		})
	}
	return m
}

func (m *multi) goals() []roomGoal {
	var all []roomGoal
	for _, g := range m.groups {
		all = append(all, roomGoal{g.room, &g.goal})
	}
	return all
}

// run lives until ctx ends.
func (m *multi) run(ctx context.Context) {
	for edge := m.rng.IntN(len(m.edges)); ctx.Err() == nil; edge = (edge + 1) % len(m.edges) {
		m.connect(ctx, m.edges[edge])
		sleep(ctx, time.Duration(20+m.rng.IntN(200))*time.Millisecond)
	}
}

// connect does what it does on one connection.
func (m *multi) connect(ctx context.Context, edge string) {
	dialer := &websocket.Dialer{HandshakeTimeout: handshake, ReadBufferSize: 2048, WriteBufferSize: 1024, Subprotocols: []string{"gotapi.v2"}}
	ws, resp, err := dialer.DialContext(ctx, "ws://"+edge+"/__/v2", nil)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	in := &inbox{room: m.room, over: make(chan struct{})}
	go in.read(ws)
	m.requests = make(map[int]request)
	for _, g := range m.groups {
		g.joining, g.leaving, g.joinAt, g.leaveAt = false, false, time.Now(), time.Now().Add(m.about(staysIn))
		for _, p := range g.pending {
			p.due = time.Now()
		}
	}
	m.serve(ctx, ws, in, edge)
	_ = ws.Close()
	<-in.over
	m.hearAll(in)
	for _, g := range m.groups {
		g.ended(g.room.now())
	}
}

func (m *multi) serve(ctx context.Context, ws *websocket.Conn, in *inbox, edge string) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	leave := time.After(m.about(staysIn))
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.over:
			return
		case <-leave:
			if !m.ending() {
				return
			}
		case <-tick.C:
		}
		m.hearAll(in)
		for _, g := range m.groups {
			if !m.act(ws, g, edge) {
				return
			}
		}
	}
}

// act does in a group what is due. It returns false if the connection is to end.
func (m *multi) act(ws *websocket.Conn, g *membership, edge string) bool {
	now := time.Now()
	switch {
	case g.joining:
		return now.Sub(g.joinAt) < joinPatience
	case g.wire == nil && now.Before(g.joinAt):
		return true
	case g.wire == nil:
		g.joining, g.joinAt = true, now
		return m.ask(ws, request{do: "join", of: g, on: g.dials(check.V2, edge)}, map[string]any{"from": g.pos}, "")
	case g.leaving:
		return true
	case !m.ending() && now.After(g.leaveAt) && len(g.pending) == 0:
		g.leaving = true
		return m.ask(ws, request{do: "leave", of: g}, nil, "")
	}
	return m.publish(ws, g, now)
}

// publish sends the messages that are due.
func (m *multi) publish(ws *websocket.Conn, g *membership, now time.Time) bool {
	if !m.ending() && len(g.pending) < window && now.After(g.next) {
		msg := g.room.compose(m.name)
		g.pending[msg.UUID] = &sending{Message: msg, due: now}
		g.next = now.Add(m.about(g.every))
	}
	for _, p := range g.pending {
		if now.Before(p.due) {
			continue
		}
		p.due = now.Add(resendAfter)
		g.room.sends(p.Message, g.wire.conn)
		if !m.ask(ws, request{do: "publish", of: g, on: g.wire, uuid: p.UUID}, nil, p.Text) {
			return false
		}
	}
	return true
}

// ask sends a request.
func (m *multi) ask(ws *websocket.Conn, r request, more map[string]any, packet string) bool {
	m.lastID++
	m.requests[m.lastID] = r
	head := map[string]any{"do": r.do, "id": m.lastID, "group": r.of.room.name}
	for key, value := range more {
		if value != "" {
			head[key] = value
		}
	}
	text, _ := json.Marshal(head) // texts and numbers have no error
	if packet != "" {
		text = append(append(text, '\n'), packet...)
	}
	_ = ws.SetWriteDeadline(time.Now().Add(resendAfter))
	return ws.WriteMessage(websocket.TextMessage, text) == nil
}

// hearAll handles the messages since the last call.
func (m *multi) hearAll(in *inbox) {
	for _, one := range in.take() {
		msg, ok := parseMessage(one.text)
		switch g := m.in(msg.Group); {
		case ok && msg.Re != nil:
			m.answer(&msg, one)
		case ok && msg.On == "hello":
		case !ok || g == nil || g.wire == nil: // of no group, or of one that it is not in
			m.groups[0].foreign(one)
		case msg.On == "left":
			g.ended(one.at)
			g.joinAt = time.Now().Add(time.Duration(msg.RetryAfter) * time.Millisecond)
		default:
			g.hears(&msg, one.at)
		}
	}
}

func (m *multi) in(group string) *membership {
	for _, g := range m.groups {
		if g.room.name == group {
			return g
		}
	}
	return nil
}

// foreign records what the protocol does not have.
func (f *follower) foreign(one arrival) {
	w := f.wire
	if w == nil {
		w = f.dials(check.V2, "")
		f.room.opened(w)
		defer w.endedAt(0, one.at)
	}
	w.note(check.Event{At: one.at, Kind: check.Foreign, Text: one.text})
}

// answer handles the answer to a request.
func (m *multi) answer(msg *message, one arrival) {
	r, ok := m.requests[*msg.Re]
	if !ok {
		m.groups[0].foreign(one)
		return
	}
	g := r.of
	if msg.Code != http.StatusGatewayTimeout { // after which a 200 may follow
		delete(m.requests, *msg.Re)
	}
	switch r.do {
	case "join":
		g.joining = false
		if msg.Code != http.StatusOK {
			g.joinAt = time.Now().Add(max(time.Duration(msg.RetryAfter)*time.Millisecond, 100*time.Millisecond))
			return
		}
		g.follower.joined(r.on, msg.Pos, msg.Gap, one.at)
	case "leave":
		g.ended(one.at)
		g.leaving, g.leaveAt = false, time.Now().Add(m.about(staysIn))
		g.joinAt = time.Now().Add(m.about(200 * time.Millisecond))
		if m.rng.IntN(4) == 0 {
			g.forgets()
		}
	default:
		g.answered(r.on, r.uuid, msg, one.at)
		m.settle(g, r.uuid, msg.Code)
	}
}

// settle takes note of what became of a publish.
func (m *multi) settle(g *membership, uuid string, code int) {
	p := g.pending[uuid]
	switch {
	case p == nil:
	case code == http.StatusOK:
		delete(g.pending, uuid)
		g.room.acked(uuid)
	case code == http.StatusServiceUnavailable && len(p.Sends) == 1 && m.rng.IntN(100) < givesUp:
		delete(g.pending, uuid) // it is certainly not stored
	default:
		p.due = time.Now().Add(time.Duration(50+m.rng.IntN(200)) * time.Millisecond)
	}
}

// inbox has what came over a connection.
type inbox struct {
	room *room
	// Closed when the connection has ended.
	over chan struct{}

	mu  sync.Mutex
	got []arrival
}

// arrival is a text, and when it came.
type arrival struct {
	at   check.Time
	text string
}

func (in *inbox) read(ws *websocket.Conn) {
	defer close(in.over)
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}
		one := arrival{in.room.now(), string(data)}
		in.mu.Lock()
		in.got = append(in.got, one)
		in.mu.Unlock()
	}
}

// take returns what came since the last call.
func (in *inbox) take() []arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	got := in.got
	in.got = nil
	return got
}
