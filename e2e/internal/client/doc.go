// Package client speaks to a server as its clients do: WebSocket members that
// remember what they were sent, and HTTP requests with exact paths. It knows the
// wire, not the project's code.
//
// Nothing here sleeps: waiting is for an event, with Timeout as its end. That
// something does not happen is shown by something sent later that arrives first.
package client

import (
	"crypto/rand"
	"time"
)

// Timeout bounds every wait. It is long because a loaded machine is slow, not
// because anything takes that long.
const Timeout = 20 * time.Second

// TB is what this package needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Group returns an unused group name.
func Group() string { return "/conformance/" + rand.Text() }

// UUID returns an unused uuid.
func UUID() string { return rand.Text() }
