//go:build unix

package ws

import (
	"net"
	"syscall"
)

// rawOf returns the means to write to conn without blocking; nil if there are
// none, as with TLS.
func rawOf(conn Sink) syscall.RawConn {
	if wrapped, ok := conn.(interface{ Raw() net.Conn }); ok { // by the PROXY protocol
		conn = wrapped.Raw()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil // it is closed: the next write will tell
	}
	return raw
}

// writeFD writes to fd once. It returns true, so that the poller does not wait: the
// outcome is in t.
func (t *nonBlocking) writeFD(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), t.b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			t.err = err
			return true
		}
		t.n = n
		return true
	}
}
