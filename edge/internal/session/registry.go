package session

import "sync"

// registry has the sessions of this edge by their ids, in as many buckets as keepalive
// takes for one round.
type registry struct {
	mu      sync.Mutex
	lastID  uint32
	open    int
	buckets [pingEvery]map[uint32]*connection
	// Members that have no WebSocket.
	streams map[uint32]Stream
}

func newRegistry() *registry {
	r := &registry{streams: make(map[uint32]Stream)}
	for i := range r.buckets {
		r.buckets[i] = make(map[uint32]*connection)
	}
	return r
}

// newID returns an id that no session has; 0 is HTTP's.
func (r *registry) newID() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nextID()
}

// nextID needs the lock.
func (r *registry) nextID() uint32 {
	for {
		r.lastID++
		if r.lastID == 0 {
			continue
		}
		_, isSession := r.bucketOf(r.lastID)[r.lastID]
		_, isStream := r.streams[r.lastID]
		if !isSession && !isStream {
			return r.lastID
		}
	}
}

func (r *registry) bucketOf(id uint32) map[uint32]*connection { return r.buckets[id%pingEvery] }

func (r *registry) add(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bucketOf(c.id)[c.id] = c
	r.open++
}

func (r *registry) remove(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bucketOf(c.id), c.id)
	r.open--
}

// byID returns nil if there is no such session any more.
func (r *registry) byID(id uint32) *connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucketOf(id)[id]
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// all returns the sessions.
func (r *registry) all() []*connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*connection, 0, r.open)
	for _, bucket := range r.buckets {
		for _, c := range bucket {
			all = append(all, c)
		}
	}
	return all
}

// bucket returns the sessions of one bucket; they are counted modulo their number.
func (r *registry) bucket(i int) []*connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	bucket := r.buckets[i%pingEvery]
	sessions := make([]*connection, 0, len(bucket))
	for _, c := range bucket {
		sessions = append(sessions, c)
	}
	return sessions
}

// queuedBytes is how many bytes wait to be sent to all peers.
func (r *registry) queuedBytes() (n int) {
	for _, c := range r.all() {
		n += c.out.Queued()
	}
	return n
}
