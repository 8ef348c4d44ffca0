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
	// After the handshake what gorilla writes is discarded: its answers to
	// broken input would stand in the middle of our frames.
	mute bool
	// Bytes have come since it was last cleared.
	heard atomic.Bool
}

func (s *socket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.heard.Store(true)
	}
	return n, err
}

func (s *socket) Write(b []byte) (int, error) {
	if s.mute {
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
