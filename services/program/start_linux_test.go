package program

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asProgram makes the test binary a program, echo, that reports each start.
const asProgram = "GOTAPI_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	p := echo()
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

// echoEnvironment is the environment of echo: this one without GOMAXPROCS.
func echoEnvironment() []string {
	env := []string{asProgram + "=echo", "GORACE=atexit_sleep_ms=0"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOMAXPROCS=") {
			env = append(env, e)
		}
	}
	return env
}
