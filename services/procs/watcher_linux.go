package procs

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// watcherSlack is how much later than asked for the watcher may be woken. It
	// bounds how long a thread stays in a system call before another takes over
	// its goroutines; the runtime itself lets this take 10 ms when all is quiet.
	watcherSlack = 5 * time.Millisecond

	// What Linux gives every process.
	usualSlack = 50 * time.Microsecond

	// Threads that are started ahead, beside one for each processor: for goroutines
	// in system calls that take their time.
	spareThreads = 4

	// Tells the second start that it is one, and the slack of the first, ns.
	secondStart = "GOTAPI_TIMER_SLACK"
)

// CalmWatcher is to be called before anything is begun that must be ended. It may not
// return, but start the program once more in the same process.
//
// The watcher is a thread of Go's runtime, sysmon, which wakes every 20 µs, as
// long as the program has work, to see whether other threads are stuck. A server
// whose work is many short system calls pays a tenth of its CPU time for that, and
// a quarter when messages come one by one. The watcher cannot be told to wait
// longer, but the kernel can: it may wake a thread later than asked for by the
// thread's timer slack. A thread has that of the one that started it, and sysmon
// starts before any code of ours. The slack outlives execve, however. So the first
// start sets it and executes the program again; the second one gives all its
// threads the usual slack back, but the watcher, which no code of ours can reach. On
// one processor there are only two or three threads by then.
//
// It does nothing when the environment sets GOMAXPROCS, or when the process has
// another slack than usual: somebody knows better.
func CalmWatcher() {
	if was, second := os.LookupEnv(secondStart); second {
		startAgain(was)
		return
	}
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack != int(usualSlack) {
		return
	}
	program, err := os.Executable()
	if err != nil {
		return
	}
	if setSlack(int(watcherSlack)) != nil {
		return
	}
	env := append(os.Environ(), secondStart+"="+strconv.Itoa(slack), "GOMAXPROCS=1")
	_ = syscall.Exec(program, os.Args, env) //nolint:gosec // this program
	// Without it all works as well, and is a little dearer.
	_ = setSlack(slack)
}

// startAgain makes the second start like any other: it gives all threads but the
// watcher the slack that was, and the runtime all processors.
func startAgain(was string) {
	_ = os.Unsetenv(secondStart)
	_ = os.Unsetenv("GOMAXPROCS")
	if slack, err := strconv.Atoi(was); err == nil {
		onEveryThread(func() { _ = setSlack(slack) })
	}
	runtime.SetDefaultGOMAXPROCS()
}

// onEveryThread calls f on every thread that runs goroutines, and on some more
// that it has the runtime start: the watcher, too, starts threads, when it finds
// none idle, and these have its slack.
func onEveryThread(f func()) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	n := len(threads) + runtime.NumCPU() + spareThreads
	// Each goroutine keeps its thread until all have one. The runtime uses those
	// that are idle before it starts others.
	var all, ends sync.WaitGroup
	all.Add(n)
	for range n {
		ends.Go(func() {
			f() // first: locking may start a thread
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	ends.Wait()
}

// setSlack sets the timer slack, ns, of the calling thread.
func setSlack(ns int) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0)
}
