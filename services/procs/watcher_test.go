//go:build linux

package procs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asService has the test binary be a service that tells what became of it: one
// that calls CalmWatcher, or one that does not.
const (
	asService = "GOTAPI_TEST_CALM_WATCHER"
	calm      = "calm"
	plain     = "plain"
)

func TestMain(m *testing.M) {
	if os.Getenv(asService) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(asService) == calm {
		CalmWatcher()
	}
	if err := json.NewEncoder(os.Stdout).Encode(look()); err != nil {
		panic(err)
	}
}

// service is what a service sees of itself after CalmWatcher.
type service struct {
	PID, Processors int
	Args            []string
	// Of the environment.
	Leftovers []string
	// Threads that have watcherSlack, others, and those that only root may look at.
	Calm, Usual, Unknown int
}

func look() service {
	s := service{PID: os.Getpid(), Processors: runtime.GOMAXPROCS(0), Args: os.Args[1:]}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, secondStart) || strings.HasPrefix(e, "GOMAXPROCS") {
			s.Leftovers = append(s.Leftovers, e)
		}
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		panic(err)
	}
	for _, t := range threads {
		slack, err := os.ReadFile("/proc/" + filepath.Base(t) + "/timerslack_ns")
		switch {
		case err != nil:
			s.Unknown++
		case strings.TrimSpace(string(slack)) == fmt.Sprint(watcherSlack.Nanoseconds()):
			s.Calm++
		default:
			s.Usual++
		}
	}
	return s
}

// start runs a service with more of an environment; without GOMAXPROCS, but for that.
func start(t *testing.T, kind string, env ...string) (pid int, s service) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "some", "arguments")
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(append(cmd.Env, asService+"="+kind, "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return cmd.Process.Pid, s
}

func TestTheWatcherIsCalmAndOtherThreadsAreNot(t *testing.T) {
	_, without := start(t, plain)
	pid, s := start(t, calm)
	// The watcher, and perhaps the thread that starts others for it.
	if s.Unknown == 0 && (s.Calm < 1 || s.Calm > 2 || s.Usual < runtime.NumCPU()+spareThreads) {
		t.Errorf("%d threads with the watcher's slack, %d with the usual one", s.Calm, s.Usual)
	}
	want := service{
		PID: pid, Processors: without.Processors, Args: []string{"some", "arguments"},
		Calm: s.Calm, Usual: s.Usual, Unknown: s.Unknown,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error("the second start is not like the first one:", diff)
	}
}

func TestWhoSetsGOMAXPROCSHasTheWatcherAsItIs(t *testing.T) {
	_, s := start(t, calm, "GOMAXPROCS=2")
	if s.Calm != 0 || s.Processors != 2 || len(s.Leftovers) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestAnotherSlackThanTheUsualOneStays(t *testing.T) {
	runtime.LockOSThread() // without unlocking: the thread ends with this test
	if err := setSlack(int(2 * usualSlack)); err != nil {
		t.Fatal(err)
	}
	// The process inherits it from this thread.
	if _, s := start(t, calm); s.Calm != 0 {
		t.Errorf("%d threads with the watcher's slack", s.Calm)
	}
}
