package testbed

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// Main runs the tests of a package. Every package that uses the testbed has a
// TestMain that calls it, so that what all tests share is cleaned up. setup,
// which may be nil, starts what all tests of the package share.
func Main(m *testing.M, setup func(tb TB)) int {
	defer removeBinaries()
	tb := &mainTB{}
	defer tb.cleanup()
	if !tb.run(setup) {
		return 1
	}
	code := m.Run()
	tb.failed = code != 0
	return code
}

// mainTB is the TB of a TestMain, where testing offers none.
type mainTB struct {
	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

type fatal struct{}

// run calls setup and says whether it came to its end.
func (tb *mainTB) run(setup func(TB)) (ok bool) {
	if setup == nil {
		return true
	}
	defer func() {
		if e := recover(); e != nil {
			if _, isFatal := e.(fatal); !isFatal {
				panic(e)
			}
			tb.failed = true
		}
	}()
	setup(tb)
	return true
}

func (tb *mainTB) cleanup() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, f := range slices.Backward(tb.cleanups) {
		f()
	}
}

func (tb *mainTB) Helper() {}

func (tb *mainTB) Cleanup(f func()) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.cleanups = append(tb.cleanups, f)
}

func (tb *mainTB) Failed() bool { return tb.failed }

func (tb *mainTB) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (tb *mainTB) Fatalf(format string, args ...any) {
	tb.Logf(format, args...)
	panic(fatal{})
}

func (tb *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "gotapi-e2e-")
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
