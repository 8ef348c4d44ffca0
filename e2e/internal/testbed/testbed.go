// Package testbed starts the built programs, and Redis, as processes of their
// own for tests that drive them over the wire.
//
// What a function here starts ends with the test that called it, killed by its
// process id; when the test failed, the ends of the logs are shown. Addresses are
// on 127.0.0.1, chosen when something is first started and kept when it is
// started again.
package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// StartTimeout bounds every wait for a process to become ready.
const StartTimeout = 30 * time.Second

// TB is what the testbed needs of a test; *testing.T is one, and so is what
// Main gives to a TestMain.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
}

var ports struct {
	sync.Mutex
	given map[int]bool
}

// FreeAddr returns an address on which nothing listens. It stays below the ports
// that Linux gives to outgoing connections, so that a process that is started
// again finds its address still free.
func FreeAddr(tb TB) string {
	tb.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		// A Redis Cluster node needs the port 10000 above its own, too.
		if ports.given[port] || !free(port) || port+10000 < 30000 && !free(port+10000) {
			continue
		}
		ports.given[port], ports.given[port+10000] = true, true
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	tb.Fatalf("testbed: no free port between 10000 and 30000")
	return ""
}

func free(port int) bool {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Eventually asks until ask returns nil, and ends the test with its last error
// when that takes longer than StartTimeout.
func Eventually(tb TB, what string, ask func(ctx context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	if err := poll(ctx, ask); err != nil {
		tb.Fatalf("%s: not within %v: %v", what, StartTimeout, err)
	}
}

// poll asks until ask returns nil or ctx ends; then it returns ask's last error.
func poll(ctx context.Context, ask func(ctx context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ask(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
