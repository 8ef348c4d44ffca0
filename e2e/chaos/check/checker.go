package check

import (
	"fmt"
	"net/http"
	"slices"
)

// patience is how long an answer to a send may take on a connection that stays
// open: the publish timeout of 5 s, and the faults of the network between.
const patience = 20 * Time(1e9)

// checker checks one group.
type checker struct {
	*Group
	end Time
	// See Recording.
	replicated bool
	// The place of a message in Final.
	place map[string]int
	// When a message was first acked, over WebSocket or HTTP.
	acked map[string]Time
	// What is known of each connection after its events.
	walks map[*Conn]*walk
	// The events that have positions, and the positions of events.
	events    map[string]eventKey
	positions map[eventKey]string
	// How often each send was answered, by what the answer says.
	answers map[answerKey]answers

	summary    Summary
	violations []Violation
}

// answerKey names the sends of a message on one connection, or as requests (nil).
type answerKey struct {
	conn *Conn
	uuid string
}

// eventKey names an event of a group: a message, or its recall.
type eventKey struct {
	uuid   string
	recall bool
}

// answers counts answers by their meaning.
type answers [meanings]int

// meaning is what an answer to a send says of the message.
type meaning int

const (
	unexpected meaning = iota // the protocol allows no such answer
	unknown                   // it may be stored
	notStored
	stored
	meanings
)

// refusals is what the codes of refusals mean.
var refusals = map[int]meaning{
	http.StatusTooManyRequests:    notStored,
	http.StatusServiceUnavailable: notStored,
	http.StatusGatewayTimeout:     unknown,
}

// answer is what the status of a request means.
func (s *Send) answer() meaning {
	switch s.Code {
	case http.StatusOK:
		return stored
	case 0: // none came
		return unknown
	default:
		return refusals[s.Code]
	}
}

func newChecker(g *Group, r *Recording) *checker {
	c := &checker{
		Group: g, end: r.End, replicated: r.Replicated,
		place:   make(map[string]int, len(g.Final)),
		acked:   make(map[string]Time, len(g.Messages)),
		answers: make(map[answerKey]answers, len(g.Messages)),
		walks:   make(map[*Conn]*walk), events: make(map[string]eventKey), positions: make(map[eventKey]string),
	}
	for i, e := range g.Final {
		if _, twice := c.place[e.UUID]; !twice {
			c.place[e.UUID] = i
		}
	}
	for _, m := range g.Messages {
		for _, s := range m.Sends {
			if s.Conn == nil {
				c.noteAnswer(nil, m.UUID, s.answer(), s.Answered)
			}
		}
	}
	for _, conn := range g.Conns {
		for i := range conn.Events {
			switch e := &conn.Events[i]; e.Kind {
			case Ack:
				c.noteAnswer(conn, e.UUID, stored, e.At)
			case Refused:
				c.noteAnswer(conn, e.UUID, refusals[e.Code], e.At)
			default:
			}
		}
	}
	return c
}

func (c *checker) noteAnswer(conn *Conn, uuid string, means meaning, at Time) {
	if was, ok := c.acked[uuid]; means == stored && (!ok || at < was) {
		c.acked[uuid] = at
	}
	key := answerKey{conn, uuid}
	a := c.answers[key]
	a[means]++
	c.answers[key] = a
}

func (c *checker) violate(rule Rule, conn *Conn, format string, args ...any) {
	c.violations = append(c.violations, Violation{Rule: rule, Group: c.Name, Conn: conn, Detail: fmt.Sprintf(format, args...)})
}

// lossy reports whether Redis may have lost what it had at that time.
func (c *checker) lossy(at Time) bool {
	return slices.ContainsFunc(c.Lossy, func(s Span) bool { return s.holds(at) })
}

func (c *checker) run() {
	c.history()
	for _, m := range c.Messages {
		c.message(m)
	}
	for _, r := range c.Recalls {
		c.recall(r)
	}
	for _, conn := range c.Conns {
		c.conn(conn)
	}
	for _, p := range c.Pages {
		c.page(p)
	}
	c.summary.Conns = len(c.Conns)
	c.summary.Messages = len(c.Messages)
	c.summary.Acked = len(c.acked)
	c.summary.Recalls = len(c.Recalls)
	c.summary.Pages = len(c.Pages)
}

// history checks what Redis holds at the end.
func (c *checker) history() {
	for i, e := range c.Final {
		m := c.Messages[e.UUID]
		switch {
		case m == nil:
			c.violate(NothingForeign, nil, "the history has %q, which was never sent: %.200q", e.UUID, e.Text)
		case c.place[e.UUID] != i:
			c.violate(StoredOnce, nil, "%s is at %d and at %d", e.UUID, c.place[e.UUID], i)
		case e.Text == "" && c.Recalls[e.UUID] == nil:
			c.violate(NothingForeign, nil, "%s is erased, and was never recalled", e.UUID)
		case e.Text != "" && e.Text != m.Text:
			c.violate(NothingForeign, nil, "%s was changed: sent %.200q, the history has %.200q", e.UUID, m.Text, e.Text)
		}
	}
}

// message checks the outcome of one message.
func (c *checker) message(m *Message) {
	c.summary.Sends += len(m.Sends)
	_, isStored := c.place[m.UUID]
	at, acked := c.acked[m.UUID]
	switch {
	case acked && !isStored && c.lossy(at) && !c.replicated:
		c.summary.Lost++
	case acked && !isStored:
		c.violate(AckedIsStored, nil, "%s was acked at %.3f s, and is not in the history", m.UUID, at.Seconds())
	case isStored && c.onlyRefused(m):
		c.violate(RefusedIsNotStored, nil, "%s was only ever refused, and is in the history at %d", m.UUID, c.place[m.UUID])
	}
	for _, s := range m.Sends {
		c.send(m, s)
	}
}

// onlyRefused reports whether every send was refused with a code that means "not stored".
func (c *checker) onlyRefused(m *Message) bool {
	sends := make(map[*Conn]int)
	for _, s := range m.Sends {
		sends[s.Conn]++
	}
	for conn, n := range sends {
		if c.answers[answerKey{conn, m.UUID}][notStored] != n {
			return false
		}
	}
	return len(m.Sends) > 0
}

func (c *checker) send(m *Message, s Send) {
	if s.Conn == nil {
		if means := s.answer(); means != stored {
			c.refused(nil, m.UUID, s.Code, means)
		}
		return
	}
	until := c.end
	if s.Conn.Closed {
		until = s.Conn.ClosedAt
	}
	if c.answers[answerKey{s.Conn, m.UUID}] == (answers{}) && until-s.At > patience {
		c.violate(EverySendAnswered, s.Conn, "%s was sent at %.3f s and never answered", m.UUID, s.At.Seconds())
	}
}

// refused checks the refusal of a send.
func (c *checker) refused(conn *Conn, uuid string, code int, means meaning) {
	c.summary.Refusals++
	if means == unexpected {
		c.violate(EverySendAnswered, conn, "%s was refused with %d", uuid, code)
	}
}

func (c *checker) recall(r *Recall) {
	m, i := c.Messages[r.UUID], -1
	if at, ok := c.place[r.UUID]; ok {
		i = at
	}
	if m == nil {
		return // a recall of something that never was
	}
	if r.Done > 0 && i >= 0 && c.Final[i].Text != "" && (c.replicated || !c.lossy(r.Done)) {
		c.violate(RecallErases, nil, "%s was recalled at %.3f s, and its text is still there", r.UUID, r.Done.Seconds())
	}
	if at, acked := c.acked[r.UUID]; r.NotFound && acked && at < r.Asked && i >= 0 && len(c.Lossy) == 0 {
		c.violate(RecallErases, nil, "%s was acked at %.3f s and its recall at %.3f s answered with 404", r.UUID, at.Seconds(), r.Asked.Seconds())
	}
}

// firstSent returns when the message was first sent, if it was.
func (c *checker) firstSent(uuid string) (Time, bool) {
	m := c.Messages[uuid]
	if m == nil || len(m.Sends) == 0 {
		return 0, false
	}
	first := m.Sends[0].At
	for _, s := range m.Sends {
		first = min(first, s.At)
	}
	return first, true
}
