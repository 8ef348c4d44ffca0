package relay

import (
	"time"

	"github.com/gotapi/gotapi-ws/internal/backoff"
)

// streamBackoff spaces out the attempts to open a stream. After one failure the
// next attempt comes at once.
var streamBackoff = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// steady is how long a stream has to live to end a series of failures. Waiting for
// a connection counts: that was a pause.
const steady = time.Second
