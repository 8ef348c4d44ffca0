package session

import "time"

// Stream is a member without a WebSocket, as operators see it.
type Stream struct {
	User, Address string
	// Since is when it was opened.
	Since time.Time
	// Queued returns how many bytes wait to be sent to it.
	Queued func() int
}

// AddStream has Who show a member, until RemoveStream. It returns its session's number,
// which no WebSocket has.
func (s *Server) AddStream(one Stream) (id uint32) {
	r := s.sessions
	r.mu.Lock()
	defer r.mu.Unlock()
	id = r.nextID()
	r.streams[id] = one
	return id
}

// RemoveStream undoes AddStream.
func (s *Server) RemoveStream(id uint32) {
	r := s.sessions
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, id)
}

// stream returns false if there is none with this number.
func (r *registry) stream(id uint32) (one Stream, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok = r.streams[id]
	return one, ok
}
