package room

// KeepRecent sets how many events a room keeps for members that catch up.
func (g *Registry) KeepRecent(n int) { g.recent = n }

// Unsettled returns how many publishes are not settled, and how many are in the window.
func (p *Pending) Unsettled() (publishes, used int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.publishes), p.used.packets
}

// Catching returns how many members of a room catch up, and whether it keeps
// recent events for them.
func (m *Member) Catching() (n int, keeps bool) {
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	return m.room.catchers, m.room.recent != nil
}
