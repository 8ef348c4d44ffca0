package runtimetuning

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Linux gives every process defaultSlack. monitorSlack bounds how long a thread
	// stays in a system call before another takes over its goroutines.
	defaultSlack = 50 * time.Microsecond
	monitorSlack = 5 * time.Millisecond
	// spareThreads are for goroutines in long system calls.
	spareThreads = 4
	// restartedEnv marks a program that Start has executed again.
	restartedEnv = "GOTAPI_RUNTIME_TUNED"
)

// Start makes the runtime's monitoring thread, sysmon, wake every 5 ms instead of
// every 20 µs, by its timer slack. Slack is inherited from the starting thread
// and kept over execve, and sysmon starts before any code of ours. So Start raises
// the slack and executes the program again, in the same process: call it before
// anything else that has to be ended. The second time it resets the slack of all
// threads but sysmon, which runs no goroutines.
//
// Start does nothing if enabled is false, if the environment sets GOMAXPROCS, or
// if the timer slack of the process is not the default.
func Start(enabled bool) {
	if os.Getenv(restartedEnv) != "" {
		finishRestart()
		return
	}
	if !enabled || os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack != int(defaultSlack) {
		return
	}
	program, err := os.Executable()
	if err != nil || setTimerSlack(monitorSlack) != nil {
		return
	}
	// On one processor the runtime starts few threads.
	env := append(os.Environ(), restartedEnv+"=true", "GOMAXPROCS=1")
	_ = syscall.Exec(program, os.Args, env) //nolint:gosec // this program
	_ = setTimerSlack(defaultSlack)         // the program runs as well without
}

func finishRestart() {
	_ = os.Unsetenv(restartedEnv)
	_ = os.Unsetenv("GOMAXPROCS")
	onEveryThread(func() { _ = setTimerSlack(defaultSlack) })
	runtime.SetDefaultGOMAXPROCS()
}

// onEveryThread calls f on every thread that runs goroutines. It also starts as
// many as will be needed, lest sysmon starts them, whose slack they would inherit.
func onEveryThread(f func()) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	n := len(threads) + runtime.NumCPU() + spareThreads
	var locked, ended sync.WaitGroup
	locked.Add(n)
	for range n {
		ended.Go(func() {
			f() // first, because locking may start a thread
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked.Done()
			locked.Wait() // each goroutine keeps its thread until all have one
		})
	}
	ended.Wait()
}

// setTimerSlack sets the timer slack of the calling thread.
func setTimerSlack(slack time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
}
