//go:build !unix

package ws

import (
	"net"
	"syscall"
)

// rawOf returns nil: without non-blocking writes, each Outbox writes with a goroutine.
func rawOf(net.Conn) syscall.RawConn { return nil }

func (*nonBlocking) writeFD(uintptr) bool { return true }
