package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gotapi/gotapi-ws/services/telemetry/telemetrytest"
)

// asProgram makes the test binary a program, echo, that reports each start.
const asProgram = "GOTAPI_TEST_PROGRAM"

// Other programs that the test binary can be: one that serves until a signal stops it,
// and one that does not stop.
const (
	asServer  = "server"
	asHanging = "hanging"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	p := echo()
	switch os.Getenv(asProgram) {
	case asServer:
		p.Run = func(ctx context.Context, _ *echoSettings, p echoProcess) error {
			p.Log.Info("serving")
			<-ctx.Done()
			return nil
		}
		os.Exit(p.Main())
	case asHanging:
		p.Run = func(_ context.Context, _ *echoSettings, p echoProcess) error {
			p.Log.Info("serving")
			select {} // whatever the signal
		}
		os.Exit(p.Main())
	}
	settings := p.New
	p.New = func() *echoSettings {
		// The environment that the process was started with.
		environ, err := os.ReadFile("/proc/self/environ")
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(os.Stdout, "again: %t\n", strings.Contains(string(environ), "GOTAPI_RUNTIME_TUNED="))
		return settings()
	}
	os.Exit(p.Main())
}

func TestOnlyAServiceWithRuntimeTuningIsStartedTwice(t *testing.T) {
	for _, tt := range []struct {
		arg, env string
		twice    bool
		code     int
	}{
		{"-name=good", "", true, ExitFailed}, // its service ends at once
		{"-runtime-tuning=false", "", false, ExitFailed},
		{"-name=good", "GOTAPI_RUNTIME_TUNING=false", false, ExitFailed},
		{"-probe", "", false, ExitOK},
		{"-version", "", false, ExitOK},
		{"-check-config", "", false, ExitOK},
		{"-h", "", false, ExitOK},
		{"-nope", "", false, ExitUsage},
	} {
		cmd := exec.Command(os.Args[0], tt.arg)
		cmd.Env = append(echoEnvironment(), tt.env)
		out, _ := cmd.Output() // the exit code is compared
		if got := cmd.ProcessState.ExitCode(); got != tt.code {
			t.Errorf("%s %s: exit code %d, want %d: %s", tt.env, tt.arg, got, tt.code, out)
		}
		if twice := strings.Contains(string(out), "again: true"); twice != tt.twice || !strings.Contains(string(out), "again: false") {
			t.Errorf("%s %s: is started twice: %t, want %t: %q", tt.env, tt.arg, twice, tt.twice, out)
		}
	}
}

// A pipe can be read once, so that a second start would not find the settings.
func TestAProgramWithSettingsInAPipeIsStartedOnce(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-config", "/dev/stdin")
	cmd.Env = echoEnvironment()
	cmd.Stdin = strings.NewReader("name: fine\n")
	out, _ := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != ExitFailed || string(out) != "again: false\n" {
		t.Errorf("exit code %d, output %q, want %d and one start", got, out, ExitFailed)
	}
}

// process is a program that runs, and its log.
type process struct {
	*exec.Cmd
	t   *testing.T
	log *telemetrytest.Log
}

// startAs starts a program, and waits until it serves.
func startAs(t *testing.T, as string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), t: t, log: new(telemetrytest.Log)}
	p.Env, p.Stderr = environment(as), p.log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	p.awaitLog("serving")
	return p
}

func (p *process) awaitLog(text string) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, func() error {
		if !strings.Contains(p.log.String(), text) {
			return fmt.Errorf("the log lacks %s:\n%s", text, p.log)
		}
		return nil
	})
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func TestTheLogNamesTheSignalThatStopsTheProgram(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := startAs(t, asServer)
		p.signal(sig)
		if err := p.Wait(); err != nil {
			t.Errorf("%v: it ended with %v, want exit code 0", sig, err)
		}
		log := p.log.String()
		if !strings.Contains(log, `"msg":"stopping","program":"echo","cause":"`+sig.String()) || !strings.Contains(log, `"msg":"stopped"`) {
			t.Errorf("%v: the log does not say that it stops, and why:\n%s", sig, log)
		}
	}
}

func TestASecondSignalEndsAProgramThatDoesNotStop(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := startAs(t, asHanging)
		p.signal(syscall.SIGTERM)
		p.awaitLog(`"cause":"terminated`)
		p.signal(sig)
		_ = p.Wait() // the signal is compared
		state, ok := p.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !state.Signaled() || state.Signal() != sig {
			t.Errorf("%v: it ended with %v, want the signal", sig, p.ProcessState)
		}
		want := `"msg":"second signal: stopping at once, without finishing open work","program":"echo","signal":`
		if log := p.log.String(); !strings.Contains(log, want) || strings.Contains(log, `"msg":"stopped"`) {
			t.Errorf("%v: the log does not say that it was forced to stop:\n%s", sig, log)
		}
	}
}

// echoEnvironment is the environment of echo: this one without GOMAXPROCS.
func echoEnvironment() []string {
	return environment("echo")
}

// environment is that of the program as.
func environment(as string) []string {
	env := []string{asProgram + "=" + as, "GORACE=atexit_sleep_ms=0"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") {
			env = append(env, e)
		}
	}
	return env
}
