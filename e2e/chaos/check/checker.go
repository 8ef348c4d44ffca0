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
	// Where a message stands in Final.
	place map[string]int
	// When a message was first acked, over WebSocket or HTTP.
	acked map[string]Time
	// How often a connection got an ack, or a certain or another refusal.
	answers map[answerKey]answers

	summary    Summary
	violations []Violation
}

type answerKey struct {
	conn *Conn
	uuid string
}

type answers struct{ acks, certain, uncertain int }

func newChecker(g *Group, r *Recording) *checker {
	c := &checker{
		Group: g, end: r.End, replicated: r.Replicated,
		place:   make(map[string]int, len(g.Final)),
		acked:   make(map[string]Time, len(g.Messages)),
		answers: make(map[answerKey]answers, len(g.Messages)),
	}
	for i, e := range g.Final {
		if _, twice := c.place[e.UUID]; !twice {
			c.place[e.UUID] = i
		}
	}
	for _, m := range g.Messages {
		for _, s := range m.Sends {
			if s.Conn == nil && s.Code == http.StatusOK {
				c.noteAck(m.UUID, s.Answered)
			}
		}
	}
	for _, conn := range g.Conns {
		for i := range conn.Events {
			c.noteAnswer(conn, &conn.Events[i])
		}
	}
	return c
}

func (c *checker) noteAck(uuid string, at Time) {
	if was, ok := c.acked[uuid]; !ok || at < was {
		c.acked[uuid] = at
	}
}

func (c *checker) noteAnswer(conn *Conn, e *Event) {
	key := answerKey{conn, e.UUID}
	a := c.answers[key]
	switch {
	case e.Kind == Ack:
		a.acks++
		c.noteAck(e.UUID, e.At)
	case e.Kind == Refused && certain(e.Code):
		a.certain++
	case e.Kind == Refused:
		a.uncertain++
	default:
		return
	}
	c.answers[key] = a
}

// certain says that the message was not stored.
func certain(code int) bool {
	return code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests
}

func (c *checker) violate(rule Rule, conn *Conn, format string, args ...any) {
	c.violations = append(c.violations, Violation{Rule: rule, Group: c.Name, Conn: conn, Detail: fmt.Sprintf(format, args...)})
}

// lossy says whether Redis may have lost what it had at that time.
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
			c.violate(NothingForeign, nil, "the history has %q, which nobody sent: %.200q", e.UUID, e.Text)
		case c.place[e.UUID] != i:
			c.violate(StoredOnce, nil, "%s stands at %d and at %d", e.UUID, c.place[e.UUID], i)
		case e.Text == "" && c.Recalls[e.UUID] == nil:
			c.violate(NothingForeign, nil, "%s is erased, and nobody recalled it", e.UUID)
		case e.Text != "" && e.Text != m.Text:
			c.violate(NothingForeign, nil, "%s was changed: sent %.200q, the history has %.200q", e.UUID, m.Text, e.Text)
		}
	}
}

// message checks what became of one message.
func (c *checker) message(m *Message) {
	c.summary.Sends += len(m.Sends)
	_, stored := c.place[m.UUID]
	at, acked := c.acked[m.UUID]
	switch {
	case acked && !stored && c.lossy(at) && !c.replicated:
		c.summary.Lost++
	case acked && !stored:
		c.violate(AckedIsStored, nil, "%s was acked at %.3f s, and is not in the history", m.UUID, at.Seconds())
	case stored && c.refused(m):
		c.violate(RefusedIsNotStored, nil, "%s was only ever refused, and is in the history at %d", m.UUID, c.place[m.UUID])
	}
	for _, s := range m.Sends {
		c.send(m, s)
	}
}

// refused says that each attempt was refused with a code that says "certainly
// not stored".
func (c *checker) refused(m *Message) bool {
	on := make(map[*Conn]int)
	for _, s := range m.Sends {
		if s.Conn == nil && !certain(s.Code) {
			return false
		}
		if s.Conn != nil {
			on[s.Conn]++
		}
	}
	for conn, sends := range on {
		if c.answers[answerKey{conn, m.UUID}].certain != sends {
			return false
		}
	}
	return len(m.Sends) > 0
}

func (c *checker) send(m *Message, s Send) {
	if s.Conn == nil {
		switch s.Code {
		case http.StatusOK:
		case 0, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			c.summary.Refusals++
		default:
			c.violate(EverySendAnswered, nil, "%s was answered with %d over HTTP", m.UUID, s.Code)
		}
		return
	}
	until := c.end
	if s.Conn.Closed {
		until = s.Conn.ClosedAt
	}
	a := c.answers[answerKey{s.Conn, m.UUID}]
	if a.acks+a.certain+a.uncertain == 0 && until-s.At > patience {
		c.violate(EverySendAnswered, s.Conn, "%s was sent at %.3f s and never answered", m.UUID, s.At.Seconds())
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

// sentBefore says whether somebody had sent the message at that time.
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
