package room

import "github.com/gotapi/gotapi-ws/wire/stream"

// lose ends the stream of a member where it is, because what follows is lost. Its dialect
// decides whether the connection ends with it, or the member goes on where the room is.
// The caller holds the room's lock.
func (r *Room) lose(m *Member) {
	last, end := m.conn.Dialect.Lost(r.name, r.pos)
	if end != nil {
		m.end(last, end)
		return
	}
	r.registry.metrics.memberGaps.Inc()
	m.push(last)
	if m.catches() {
		r.stopCatching()
		if !m.catch.fallen { // its join is complete only now
			m.push(m.conn.Dialect.Live(r.name, r.pos))
		}
	}
	m.state, m.catch = live, nil
	m.answerPassed(r.pos)
}

// answerPassed answers publishes of m whose messages do not come any more: m is beyond
// them, or follows another history. The caller holds the room's lock.
func (m *Member) answerPassed(pos stream.Position) {
	if !m.waits {
		return
	}
	o := outgoing{member: m}
	o.ackWhere(func(r *result) bool { return r.isDue(pos) || r.epoch != pos.Epoch && pos.Epoch != 0 })
	o.send()
}

// end ends the membership of m here, unless that ends its connection. It returns false if
// the session need not learn of it: m is still a member, or was none, or its join
// waits for an answer and fails. The caller holds the room's lock.
func (r *Room) end(m *Member, why *Refusal) (dropped bool) {
	switch {
	case m.state == left:
		return false
	case m.catch != nil && !m.catch.answered && m.catch.done != nil:
		m.catch.failed = true
		close(m.catch.done)
		r.drop(m)
		return false
	}
	last, end := m.conn.Dialect.Left(r.name, why)
	if end != nil {
		m.end(last, end)
		return false
	}
	r.drop(m)
	m.push(last)
	return true
}
