// Package recent has a map that is bounded.
package recent

import "container/list"

// Map forgets the key that it has not seen for the longest time. It is not safe for
// concurrent use.
type Map[K comparable, V any] struct {
	most    int
	entries map[K]*list.Element // of entry
	// The one seen last in front.
	seen list.List
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns a Map of at most that many keys.
func New[K comparable, V any](most int) Map[K, V] {
	return Map[K, V]{most: most, entries: make(map[K]*list.Element)}
}

// Get returns the value of key, which is seen.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	at, ok := m.entries[key]
	if !ok {
		return value, false
	}
	m.seen.MoveToFront(at)
	return at.Value.(entry[K, V]).value, true
}

// Add adds a key that is not there.
func (m *Map[K, V]) Add(key K, value V) {
	if len(m.entries) >= m.most {
		oldest := m.seen.Back()
		delete(m.entries, m.seen.Remove(oldest).(entry[K, V]).key)
	}
	m.entries[key] = m.seen.PushFront(entry[K, V]{key, value})
}

// Remove removes a key, if it is there.
func (m *Map[K, V]) Remove(key K) {
	if at, ok := m.entries[key]; ok {
		m.seen.Remove(at)
		delete(m.entries, key)
	}
}

// Len returns how many keys there are.
func (m *Map[K, V]) Len() int { return len(m.entries) }
