package limit

import "container/list"

// recent is a map that is bounded: it forgets the key that it has not seen for the
// longest time. It needs the lock of what it is part of.
type recent[K comparable, V any] struct {
	most    int
	entries map[K]*list.Element // of entry
	// The one seen last in front.
	seen list.List
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int) recent[K, V] {
	return recent[K, V]{most: most, entries: make(map[K]*list.Element)}
}

// get returns the value of key, which is seen.
func (r *recent[K, V]) get(key K) (value V, ok bool) {
	at, ok := r.entries[key]
	if !ok {
		return value, false
	}
	r.seen.MoveToFront(at)
	return at.Value.(entry[K, V]).value, true
}

// add adds a key that is not there.
func (r *recent[K, V]) add(key K, value V) {
	if len(r.entries) >= r.most {
		oldest := r.seen.Back()
		delete(r.entries, r.seen.Remove(oldest).(entry[K, V]).key)
	}
	r.entries[key] = r.seen.PushFront(entry[K, V]{key, value})
}

// remove removes a key, if it is there.
func (r *recent[K, V]) remove(key K) {
	if at, ok := r.entries[key]; ok {
		r.seen.Remove(at)
		delete(r.entries, key)
	}
}

func (r *recent[K, V]) len() int { return len(r.entries) }
