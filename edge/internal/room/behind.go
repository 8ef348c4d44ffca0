package room

// fallBehind drops a member whose share of the queue is full to catching up from the
// store. It gets nothing of the batch. The caller holds the room's lock.
func (r *Room) fallBehind(m *Member, b *batch) {
	c := &catchUp{pos: b.from, answered: true, fallen: true}
	if m.state == ahead {
		c.pos = m.catch.pos
	}
	m.state, m.catch = catching, c
	m.miss(b)
	r.startCatching()
	r.registry.metrics.fallBehinds.Inc()
	m.conn.add(m)
}

// miss counts what a member that has fallen behind does not get: what is not stored.
func (m *Member) miss(b *batch) {
	if m.catch.fallen {
		m.room.registry.metrics.missed.Add(float64(b.broadcasts()))
	}
}
