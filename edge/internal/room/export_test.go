package room

// KeepRecent sets how many events a room keeps for members that catch up.
func (g *Registry) KeepRecent(n int) { g.recent = n }
