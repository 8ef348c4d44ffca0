//go:build !unix

package ws

import (
	"net"
	"syscall"
)

// rawOf: without non-blocking writes, each writer has a goroutine.
func rawOf(net.Conn) syscall.RawConn { return nil }

func (p *pen) attempt(uintptr) bool { return true }
