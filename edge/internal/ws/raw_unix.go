//go:build unix

package ws

import (
	"net"
	"syscall"
)

// rawOf returns the means to write to conn without blocking; nil if there are
// none, as with TLS.
func rawOf(conn net.Conn) syscall.RawConn {
	if wrapped, ok := conn.(interface{ Raw() net.Conn }); ok { // by the PROXY protocol
		conn = wrapped.Raw()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil // it is closed: whoever writes will be told
	}
	return raw
}

// attempt tells the poller that it need not wait: the outcome is in p.
func (p *pen) attempt(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), p.b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			p.err = err
			return true
		}
		p.n = n
		return true
	}
}
