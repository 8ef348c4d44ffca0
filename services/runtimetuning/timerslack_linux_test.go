package runtimetuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// asService makes the test binary a service that reports on itself. It calls
// Start(true) if the value is "tuned", and Start(false) otherwise.
const asService = "GOTAPI_TEST_RUNTIME_TUNING"

func TestMain(m *testing.M) {
	if os.Getenv(asService) == "" {
		os.Exit(m.Run())
	}
	Start(os.Getenv(asService) == "tuned")
	if err := json.NewEncoder(os.Stdout).Encode(newReport()); err != nil {
		panic(err)
	}
}

// report is what a service sees of itself after Start.
type report struct {
	PID, Procs int
	Args       []string
	// Variables of the environment that Start uses.
	Env []string
	// Timer slack of the threads that run goroutines: each value once.
	Slack []time.Duration
	// The same of the other threads, sysmon above all; nil where the process may not know.
	Others []time.Duration
}

func newReport() report {
	r := report{PID: os.Getpid(), Procs: runtime.GOMAXPROCS(0), Args: os.Args[1:]}
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, restartedEnv) || strings.HasPrefix(e, "GOMAXPROCS") {
			r.Env = append(r.Env, e)
		}
	}
	others := threads()
	slack := makeSystemCalls()
	r.Slack = slices.Compact(slices.Sorted(maps.Values(slack)))
	for _, id := range others {
		if _, runsGoroutines := slack[id]; runsGoroutines {
			continue
		}
		if d, ok := slackOf(id); ok {
			r.Others = append(r.Others, d)
		}
	}
	slices.Sort(r.Others)
	r.Others = slices.Compact(r.Others)
	return r
}

func threads() (ids []int) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			panic(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// slackOf returns the timer slack of any thread, which takes CAP_SYS_NICE.
func slackOf(id int) (time.Duration, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", id))
	if err != nil {
		return 0, false
	}
	ns, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return time.Duration(ns), true
}

// defaultGOMAXPROCS returns what the runtime chooses for this machine or container.
func defaultGOMAXPROCS() int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.SetDefaultGOMAXPROCS()
	return runtime.GOMAXPROCS(0)
}

// makeSystemCalls keeps more goroutines than processors in system calls that
// take a tenth of a millisecond. It returns the timer slack of all threads on
// which they ran.
func makeSystemCalls() map[int]time.Duration {
	var mu sync.Mutex
	slack := make(map[int]time.Duration)
	var callers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		callers.Go(func() {
			for range 1000 {
				if err := unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil); err != nil && !errors.Is(err, unix.EINTR) {
					panic(err)
				}
				id, ns := threadSlack()
				mu.Lock()
				slack[id] = ns
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return slack
}

// threadSlack returns the id and the timer slack of a thread that runs goroutines.
func threadSlack() (id int, slack time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	return unix.Gettid(), time.Duration(ns)
}

// runService runs a service with these variables more in its environment, and
// without GOMAXPROCS unless it is one of them.
func runService(t *testing.T, kind string, env ...string) (pid int, r report) {
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
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return cmd.Process.Pid, r
}

func TestStartRaisesTheSlackOfTheMonitoringThreadOnly(t *testing.T) {
	plainPID, plain := runService(t, "plain")
	tunedPID, tuned := runService(t, "tuned")
	if plain.Others != nil && (!cmp.Equal(plain.Others, []time.Duration{defaultSlack}) || !slices.Contains(tuned.Others, monitorSlack)) {
		t.Errorf("the threads that run no goroutines have slack %v, and %v without Start; want %v with it", tuned.Others, plain.Others, monitorSlack)
	}
	want := report{
		Procs: defaultGOMAXPROCS(), Args: []string{"some", "arguments"}, Slack: []time.Duration{defaultSlack},
	}
	for pid, got := range map[int]report{plainPID: plain, tunedPID: tuned} {
		want.PID, want.Others = pid, got.Others // compared above
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want a service as it was started, got (+)\n%s", diff)
		}
	}
}

func TestGOMAXPROCSInTheEnvironmentKeepsStartFromRestarting(t *testing.T) {
	_, r := runService(t, "tuned", "GOMAXPROCS=2")
	if want := []string{"GOMAXPROCS=2"}; r.Procs != 2 || !cmp.Equal(r.Env, want) {
		t.Errorf("got GOMAXPROCS %d, environment %q, want 2 and %q", r.Procs, r.Env, want)
	}
}

func TestAChosenTimerSlackIsKept(t *testing.T) {
	runtime.LockOSThread() // without unlocking: the thread ends with this test
	if err := setTimerSlack(2 * defaultSlack); err != nil {
		t.Fatal(err)
	}
	// The service inherits it from this thread.
	_, r := runService(t, "tuned")
	if want := []time.Duration{2 * defaultSlack}; !cmp.Equal(r.Slack, want) {
		t.Errorf("got timer slack %v, want %v", r.Slack, want)
	}
}
