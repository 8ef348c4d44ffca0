package testbed

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// Main runs the tests of a package; the exit code is theirs when TestMain
// returns. Every package that uses the testbed has a TestMain that calls it, so
// that what all tests share is cleaned up. setup, which may be nil, starts that;
// it panics if it fails.
func Main(m *testing.M, setup func(tb TB)) {
	defer removeBinaries()
	waitTogether()
	tb := &mainTB{}
	defer tb.cleanup()
	if setup != nil {
		setup(tb)
	}
	tb.failed = m.Run() != 0
}

// waitTogether runs more tests at once than there are processors, unless the
// command line says how many: they mostly wait for other processes.
func waitTogether() {
	const parallel = "test.parallel"
	if !flag.Parsed() {
		flag.Parse()
	}
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == parallel })
	if !chosen {
		_ = flag.Set(parallel, "8") // the testing package has defined it
	}
}

// Program runs f for a program that is no test, and cleans up after it. It
// returns the error that ended f, if one did. Logs are shown when f calls fail.
func Program(f func(tb TB, fail func())) (err error) {
	defer removeBinaries()
	tb := &mainTB{}
	defer tb.cleanup()
	defer func() {
		if tb.fatal != nil {
			_ = recover() // it is Fatalf's
			err = tb.fatal
		}
	}()
	f(tb, func() { tb.failed = true })
	return nil
}

// mainTB is the TB of a TestMain, where testing offers none.
type mainTB struct {
	mu       sync.Mutex
	cleanups []func()
	failed   bool
	fatal    error
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
	tb.failed = true
	tb.fatal = fmt.Errorf(format, args...)
	panic(tb.fatal)
}

func (tb *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "gotapi-e2e-")
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
