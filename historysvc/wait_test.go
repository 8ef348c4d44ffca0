package historysvc_test

import (
	"testing"
	"time"
)

// eventually asks ok until it is true; after 5 s it fails with what describe says.
func eventually(t *testing.T, ok func() bool, describe func() string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not become true: %s", describe())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
