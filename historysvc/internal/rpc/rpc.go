// Package rpc serves the history service over gRPC: HistoryService to internal
// services and the edges' REST interface, RelayService to edges. It checks what
// comes from outside, converts, and maps errors to statuses; what a group is
// and how its stream goes on is decided in history and feed.
package rpc

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// publishTimeout bounds a publish whose caller sets no earlier deadline.
const publishTimeout = 5 * time.Second

// newEdgeID draws the name of a process that publishes; 0 is nobody.
func newEdgeID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}
