// Package whole tests the system as its users run it: several edges, several
// history services, a real Redis, and each of them going away and coming back
// while members talk.
package whole

import (
	"testing"

	"github.com/gotapi/gotapi-ws/e2e/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m, nil) }
