package ws

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
)

// socket is the connection as gorilla sees it.
type socket struct {
	net.Conn
	// Set after the handshake: gorilla's answers to broken input would land in the
	// middle of our frames.
	discardWrites bool
	// Bytes have come since it was last cleared.
	received atomic.Bool
	// Called with how many frames have come that are no messages; nil: nobody counts.
	small   func(frames int) error
	scanner scanner
}

// peerBuffer is for what a peer sends after its fault.
const peerBuffer = 4 << 10

// Read implements io.Reader. It returns what comes before a fault together with it.
func (s *socket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n == 0 {
		return 0, err
	}
	s.received.Store(true)
	small, good, fault := s.scanner.scan(b[:n])
	if small > 0 && s.small != nil {
		if refused := s.small(small); refused != nil {
			return 0, refused
		}
	}
	if fault != nil {
		return good, fault
	}
	return n, err
}

// awaitClose reads until the peer has sent a close frame, or for as long as the read
// deadline lets it.
func (s *socket) awaitClose() {
	b := make([]byte, peerBuffer)
	for !s.scanner.closed {
		n, err := s.Conn.Read(b)
		_, _, _ = s.scanner.scan(b[:n]) // further faults do not matter
		if err != nil {
			return
		}
	}
}

func (s *socket) Write(b []byte) (int, error) {
	if s.discardWrites {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// hijacker puts a socket between gorilla and the connection.
type hijacker struct {
	http.ResponseWriter
	socket *socket
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket = &socket{Conn: conn}
	return h.socket, buffers, nil
}
