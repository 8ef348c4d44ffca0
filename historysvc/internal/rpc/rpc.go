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

const (
	// publishTimeout bounds a publish whose caller sets no earlier deadline.
	publishTimeout = 5 * time.Second
	// answerMargin is what an answer may take on its way to the caller.
	answerMargin = 250 * time.Millisecond
)

// newEdgeID draws the name of a process that publishes; 0 is nobody.
func newEdgeID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}
