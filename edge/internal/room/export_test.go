package room

// KeepRecent sets how many events a room keeps for members that catch up.
func (g *Registry) KeepRecent(n int) { g.recent = n }

// Catching returns how many members of a room catch up, and whether it keeps
// recent events for them.
func (m *Member) Catching() (n int, keeps bool) {
	m.room.mu.Lock()
	defer m.room.mu.Unlock()
	return m.room.catchers, m.room.recent.running
}
