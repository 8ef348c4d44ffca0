// Package relayversion numbers the protocol between edges and history services, so that
// an edge and a service that cannot work together find out at once.
//
// A change that the other side may ignore, such as a field that only adds something,
// needs no new number. Any other change takes the next one, and Ours goes on speaking the
// one before for a minor release: edges and history services one minor apart can meet
// (docs/operations.md).
package relayversion

import (
	"fmt"
	"strconv"
)

// Range is the protocols that a program speaks. The zero Range is of programs that do
// not say it.
type Range struct{ Oldest, Newest uint32 }

// Ours is what this program speaks.
var Ours = Range{Oldest: 1, Newest: 1}

// Meets reports whether two programs have a protocol in common.
func (r Range) Meets(other Range) bool {
	return r.Newest >= other.Oldest && other.Newest >= r.Oldest
}

// String is for people.
func (r Range) String() string {
	switch {
	case r == Range{}:
		return "unknown"
	case r.Oldest == r.Newest:
		return strconv.FormatUint(uint64(r.Newest), 10)
	}
	return fmt.Sprintf("%d to %d", r.Oldest, r.Newest)
}
