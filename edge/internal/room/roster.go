package room

// roster is a set of members that is cheap to walk and to change. Each member
// knows its index, so a member is in one roster at most.
type roster []*Member

func (r *roster) add(m *Member) {
	m.index = int32(len(*r))
	*r = append(*r, m)
}

// remove puts the last member in m's place.
func (r *roster) remove(m *Member) {
	s := *r
	last := len(s) - 1
	s[m.index] = s[last]
	s[m.index].index = m.index
	s[last] = nil
	*r = s[:last]
	if last == 0 {
		*r = nil
	}
}
